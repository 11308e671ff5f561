"""os.fork while other threads work: the child finds layers before or after, and no lock held.

Memory is private already (:mod:`kvring.memory`). What a child inherits of other threads is what
they left half done: a lock that nobody will give back, rows that a kernel was moving. So a fork
waits for the locks of all layers, which are never held for longer than it takes to move rows, and
the child makes them anew. Anew and not free again: if a signal handler forks in the middle of an
update, that update still gives back the lock it took.

Locks are taken in the order in which a cache takes those of all its layers. Where somebody takes
them in another order, the fork gives back what it has and begins anew: it never stands still on one
lock while it holds another that is waited for.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count, repeat
from operator import methodcaller
from pathlib import Path
from threading import Lock, local
from time import monotonic, sleep
from types import FrameType
from typing import Protocol

__all__ = ["hold", "last_before_fork", "survives_fork"]

# What a fork waits at most for the work of other threads: longer than any update takes.
PATIENCE_SECONDS = 30.0
# And for one lock while it holds others, before it gives them back for a moment.
TURN_SECONDS, PAUSE_SECONDS = 0.05, 0.001

_PACKAGE = str(Path(__file__).parent)
_numbers = count()
_living: dict[int, weakref.ref[Survivor]] = {}
_first: dict[int, weakref.ref[Survivor]] = {}  # those of _living whose locks are taken before
_last: list[Callable[[], None]] = []
_one_fork_at_a_time = Lock()


class Survivor(Protocol):
    """What holds locks and can make them anew."""

    def _locks(self) -> list[Lock]:
        """The locks to wait for before a fork."""

    def _after_fork(self) -> None:
        """Make all locks anew."""


def survives_fork(survivor: Survivor, *, first: bool = False) -> None:
    """Have `survivor` looked after at every fork, for as long as it lives.

    Locks inside which others are taken come `first`: their owners must not wait for the fork.
    """
    number = next(_numbers)
    for living in (_first, _living) if first else (_living,):
        # No function of ours: an interrupt in the middle of a callback is printed and lost. What
        # pop is given besides the number is the reference, which it takes for its default.
        living[number] = weakref.ref(survivor, partial(living.pop, number))


def last_before_fork(prepare: Callable[[], None]) -> None:
    """Have `prepare` called before every fork, when the locks of all survivors are held."""
    _last.append(prepare)


def hold(lock: Lock) -> None:
    """Hold `lock` until the fork under way is over; the child makes it anew."""
    _take([lock], 0.0 if _inside_kvring() else PATIENCE_SECONDS)


def _survivors(living: dict[int, weakref.ref[Survivor]]) -> Iterator[Survivor]:
    for reference in list(living.values()):  # one call: other threads make caches meanwhile
        survivor = reference()
        if survivor is not None:
            yield survivor


class _Held(local):
    """The locks that this thread holds while it forks."""

    def __init__(self) -> None:
        self.locks: list[Lock] = []


_held = _Held()


def _before() -> None:
    patience = 0.0 if _inside_kvring() else PATIENCE_SECONDS
    _take([_one_fork_at_a_time], patience)
    for first in _survivors(_first):
        _take(first._locks(), patience)
    taken = set(map(id, _held.locks))
    locks = [lock for survivor in _survivors(_living) for lock in survivor._locks()]
    _take_all([lock for lock in locks if id(lock) not in taken], patience)
    for prepare in _last:
        prepare()


def _take(locks: list[Lock], seconds: float) -> None:
    """Take those of `locks` that come free, `seconds` for each.

    In C code that also notes what it took, so that nothing can come between the two.
    """
    attempt = methodcaller("acquire", seconds > 0, seconds or -1)
    _held.locks.extend(filter(attempt, locks))


def _take_all(locks: list[Lock], patience: float) -> None:
    """Take all of `locks`, or after `patience` seconds those that are free."""
    before, until = len(_held.locks), monotonic() + patience
    while monotonic() < until:
        for lock in locks:
            _take([lock], TURN_SECONDS)
            if not _held.locks or _held.locks[-1] is not lock:
                break
        else:
            return
        _give_back(len(_held.locks) - before)
        sleep(PAUSE_SECONDS)  # whoever waited for one of them takes it now
    _take(locks, 0.0)


def _give_back(number: int) -> None:
    """Give back the locks taken last, in C code as above."""
    list(map(methodcaller("release"), map(_held.locks.pop, repeat(-1, number))))


def _inside_kvring() -> bool:
    """Whether a signal handler forks in the middle of a call that may hold a lock itself."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not _before.__code__:
        frame = frame.f_back
    while frame is not None:
        frame = frame.f_back
        if frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
            return True
    return False


def _in_parent() -> None:
    with suppress(IndexError):  # in C again, until there is nothing left to pop
        list(map(methodcaller("release"), iter(_held.locks.pop, None)))


def _in_child() -> None:
    global _one_fork_at_a_time
    _one_fork_at_a_time = Lock()
    _held.locks.clear()
    for survivor in _survivors(_living):
        survivor._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
