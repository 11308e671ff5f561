"""Who reads a layer, so that writers wait for them, and who waits to write it.

A reading is a lock that its thread holds: ``with`` takes it and, in one call that nothing can
interrupt, gives it back. Nobody holds the layer's own lock for longer than it takes to move rows,
so whoever only looks never waits for a reader, and a reader never waits for itself::

    reader                              writer
    takes its reading                   takes the layer's lock; somebody is inside, so lets it go
    waits for writers that wait         takes a turn, which later readers wait for
    under the layer's lock: goes in     waits for each reading to be free, then tries again
    ... looks at the rows ...
    gives its reading back

That a reading is over is found out by whoever comes next: a free one has left.
"""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from threading import Lock, local
from typing import Any, TypeVar, cast

from .errors import LockError

__all__ = [
    "AllReaders",
    "Readers",
    "Reading",
    "check_not_read_here",
    "once_unread",
    "this_thread_reads",
]

Result = TypeVar("Result")
_READ = object()  # what an attempt to write answers while somebody reads
_mine = local()  # .readings: those this thread has entered, not all of them left


class Reading(RLock):  # type: ignore[misc]  # final to mypy alone
    """A view of one layer that stays true while its thread is in the ``with`` block.

    Parameters
    ----------
    readers : Readers, or AllReaders
        Of the layer, or of several at one moment.
    look : callable
        Makes the view; called under the layer's lock.

    Notes
    -----
    The way out is the C code of RLock: as a Python method it could be interrupted before its first
    line, and the layer would stay held. The way in may be, and undoes what it did.
    """

    def __new__(cls, readers: Readers | AllReaders, look: Callable[[], Any]) -> Reading:
        return super().__new__(cls)

    def __init__(self, readers: Readers | AllReaders, look: Callable[[], Any]) -> None:
        # Given up on entering: what is inside must not keep a dropped cache alive.
        self._entrance: tuple[Readers | AllReaders, Callable[[], Any]] | None = (readers, look)

    def __enter__(self) -> Any:  # type: ignore[override]
        entrance, self._entrance = self._entrance, None
        if entrance is None:
            raise LockError("a reading is entered once; call reading again for another")
        readers, look = entrance
        try:
            self.acquire()
            return readers.join(self, look)
        except BaseException:
            if owned(self):
                self.release()
            raise


class Readers:
    """Who reads one layer, and who waits to write it.

    Attributes
    ----------
    lock : Lock
        The layer's.
    inside : list of Reading
        Grows under the lock only, so a writer that holds it and finds the list empty may write.
        Those that have left are still in it until somebody looks.
    waiting : list of RLock
        The turns of writers; one that is free is over.
    """

    __slots__ = ("inside", "lock", "waiting")

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.inside: list[Reading] = []
        self.waiting: list[RLock] = []

    def join(self, reading: Reading, look: Callable[[], Result]) -> Result:
        """Go in, after the writers that wait already, and look."""
        entered = _entered()
        if not entered:  # whoever reads already is waited for, and so must not wait
            self.wait_for_writers()
        with self.lock:
            self.let_in(reading)
            _mine.readings = [*entered, reading]
            return look()

    def let_in(self, reading: Reading) -> None:
        """Count one more reader. The caller holds the lock."""
        for other in self.inside.copy():
            if is_free(other):
                _remove(self.inside, other)
        self.inside.append(reading)

    def wait_for_writers(self) -> None:
        """Wait for the writers that wait now for readers to leave."""
        for turn in self.waiting.copy():
            wait_until_free(turn)
            _remove(self.waiting, turn)

    def while_unread(self, change: Callable[[], Result]) -> Result:
        """Run `change` under the lock while nobody reads; LockError if this thread does."""
        return once_unread([self], self._locked, change)

    def wait_until_left(self) -> None:
        """Wait for all who are inside now."""
        for reading in self.inside.copy():
            wait_until_free(reading)
            _remove(self.inside, reading)

    def after_fork(self, lock: Lock) -> None:
        """In a forked child: nobody is there but the thread that forked."""
        self.lock = lock
        self.inside[:] = [reading for reading in self.inside if owned(reading)]
        self.waiting.clear()

    def _locked(self, action: Callable[[], Result]) -> Result:
        with self.lock:
            return action()


class AllReaders:
    """The readers of several layers, where one reading is of all of them at one moment.

    Parameters
    ----------
    layers : sequence of Readers
    locked : callable
        Runs what it is given with the locks of these layers held.
    """

    __slots__ = ("layers", "locked")

    def __init__(
        self, layers: Sequence[Readers], locked: Callable[[Callable[[], Any]], Any]
    ) -> None:
        self.layers = layers
        self.locked = locked

    def join(self, reading: Reading, look: Callable[[], Result]) -> Result:
        """Go in everywhere, after the writers that wait already, and look."""
        entered = _entered()
        if not entered:
            for readers in self.layers:
                readers.wait_for_writers()

        def go_in() -> Result:
            for readers in self.layers:
                readers.let_in(reading)
            _mine.readings = [*entered, reading]
            return look()

        return cast(Result, self.locked(go_in))


def once_unread(
    layers: Sequence[Readers],
    locked: Callable[[Callable[[], Any]], Any],
    change: Callable[[], Result],
) -> Result:
    """Run `change` at a moment when nobody reads any of `layers`.

    Parameters
    ----------
    layers : sequence of Readers
        The layers that change.
    locked : callable
        Runs what it is given with the locks of these layers held.
    change : callable
        What to do.

    Raises
    ------
    LockError
        If this thread reads one of them: it would wait for itself. Nothing is done.
    """
    check_not_read_here(layers)

    def attempt() -> Any:
        return _READ if any(readers.inside for readers in layers) else change()

    done = locked(attempt)
    if done is _READ:
        done = _once_left(layers, lambda: locked(attempt))
    return cast(Result, done)


def check_not_read_here(layers: Iterable[Readers]) -> None:
    """Raise LockError if this thread reads one of `layers`."""
    if any(owned(reading) for readers in layers for reading in readers.inside.copy()):
        raise LockError(
            "this thread reads a layer that the call would change, and so would wait for itself;"
            " leave `with cache.reading(...)` before"
        )


def _once_left(layers: Sequence[Readers], attempt: Callable[[], Any]) -> Any:
    """Hold readers that come later off, wait for those inside, and try until it is done."""
    turn = RLock()
    with turn:
        for readers in layers:
            readers.waiting.append(turn)
        done = _READ
        while done is _READ:
            for readers in layers:
                readers.wait_until_left()
            done = attempt()
        for readers in layers:
            _remove(readers.waiting, turn)
    return done


def this_thread_reads() -> bool:
    """Whether this thread is inside any reading, of whatever cache."""
    return bool(_entered())


def owned(lock: RLock) -> bool:
    """Whether this thread holds `lock`."""
    return bool(lock._is_owned())  # type: ignore[attr-defined]


def is_free(lock: RLock) -> bool:
    """Whether nobody holds `lock`."""
    if owned(lock):
        return False
    try:
        free = lock.acquire(blocking=False)
        if free:
            lock.release()
        return free
    except BaseException:  # an interrupt between the two
        if owned(lock):
            lock.release()
        raise


def wait_until_free(lock: RLock) -> None:
    """Wait for the thread that holds `lock`, which is not this one."""
    try:
        lock.acquire()
        lock.release()
    except BaseException:  # an interrupt between the two
        if owned(lock):
            lock.release()
        raise


def _entered() -> list[Reading]:
    """The readings that this thread is inside."""
    return [reading for reading in getattr(_mine, "readings", ()) if owned(reading)]


def _remove(locks: list[Any], lock: object) -> None:
    """Take `lock` off a list, unless somebody else has."""
    with suppress(ValueError):
        locks.remove(lock)
