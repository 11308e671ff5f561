"""Lock points: the moments at which another thread can make a difference, handed to a test.

`instrument` replaces the locks of a cache and wraps its kernels, so that every lock taken or given
back, every wait for a reader, and every kernel begun or ended passes a point. What happens there is
up to a `Points`: a random pause, or a wait until a schedule lets the thread go on.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kvring import KVCache, readers


class Points:
    """What happens at points: nothing, in this one."""

    def at(self) -> None:
        """A thread passes a point."""

    def until(self, can: Callable[[], bool]) -> None:
        """A thread is about to wait until `can()`; it may do so itself."""


class Pauses(Points):
    """At some points, the thread lets others go first, for a moment or for longer."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def at(self) -> None:
        dice = self.random.random()
        if dice < 0.3:
            time.sleep(0)
        elif dice < 0.35:
            time.sleep(0.00005)

    def until(self, can: Callable[[], bool]) -> None:
        self.at()


class PointLock:
    """A lock with a point before it is taken.

    None after it is given back: what its thread does next concerns nobody before its next point.
    """

    def __init__(self, points: Points) -> None:
        self.points = points
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        self.points.until(lambda: not self.lock.locked())
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def acquire(self, *arguments: Any) -> bool:
        return self.lock.acquire(*arguments)

    def release(self) -> None:
        self.lock.release()

    def locked(self) -> bool:
        return self.lock.locked()


class NoLock(PointLock):
    """The same points, and no lock: one of the planted faults."""

    def __enter__(self) -> None:
        self.points.at()

    def __exit__(self, *_: object) -> None:
        self.points.at()


class PointTurn:
    """A lock that its thread may take again: what a step holds."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.lock = threading.RLock()

    def __enter__(self) -> None:
        self.points.until(lambda: readers_is_free(self.lock))
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def _is_owned(self) -> bool:
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]


readers_is_free = readers.is_free
readers_wait = readers.wait_until_free


def instrument(cache: KVCache, points: Points, lock: type[PointLock] = PointLock) -> None:
    """Let whoever uses `cache` pass `points`."""
    for ring in cache.rings:
        made = lock(points)
        object.__setattr__(ring, "lock", made)
        ring.readers.lock = made
        _wrap_kernels(ring, points)
    cache._turn = PointTurn(points)
    cache._tie_layers()


def _wrap_kernels(ring: Any, points: Points) -> None:
    put_row, rows_kernel = ring._put_row, ring._rows_kernel

    def with_points(kernel: Callable[..., int]) -> Callable[..., int]:
        def run(*arguments: Any) -> int:
            points.at()
            code = kernel(*arguments)
            points.at()
            return code

        return run

    ring._put_row = with_points(put_row)
    ring._rows_kernel = lambda *asked: with_points(rows_kernel(*asked))


@contextmanager
def waits_pass(points: Points) -> Iterator[None]:
    """Let waits for readers and for writers pass `points` in this block."""

    def wait(lock: Any) -> None:
        points.until(lambda: readers_is_free(lock))
        readers_wait(lock)

    readers.wait_until_free = wait
    try:
        yield
    finally:
        readers.wait_until_free = readers_wait
