"""Work spread over threads that wait for it; kernels release the GIL, so they run side by side."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["spread"]

_pools: dict[int, ThreadPoolExecutor] = {}
_starting = Lock()


def _start_anew() -> None:
    """After a fork: threads stay behind in the parent, a lock that one of them held does not."""
    global _starting
    _starting = Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def spread(part: Callable[[int, int], None], units: int, threads: int) -> None:
    """Call ``part(start, stop)`` once per thread, so that together they do units 0 .. units - 1.

    The first part runs in the caller's thread, and so does what no other thread takes: there are
    none for it once the interpreter has begun to end, or when the system gives no more. Whatever
    happens, also Ctrl-C, no part runs any more once this has returned: it writes to memory of the
    caller.

    Parameters
    ----------
    part : callable
        Takes the first unit and the one after the last.
    units, threads : int
        How much there is to do, and the most threads that do it.
    """
    threads = min(threads, units)
    bounds = [units * n // threads for n in range(threads + 1)]
    others: list[Future[None]] = []
    left = units
    try:
        for n in range(1, threads):
            try:
                others.append(_pool(threads).submit(part, bounds[n], bounds[n + 1]))
            except RuntimeError:
                left = bounds[n]
                break
        part(bounds[0], bounds[1])
        if left < units:
            part(left, units)
    finally:
        _wait_for(others)
    for other in others:
        other.result()


def _wait_for(others: list[Future[None]]) -> None:
    """Wait until none of them runs, and only then pass on a Ctrl-C that came meanwhile."""
    interrupt: KeyboardInterrupt | None = None
    while not all(other.done() for other in others):
        try:
            for other in others:
                if not other.cancelled():
                    other.exception()
        except KeyboardInterrupt as error:
            interrupt = error
            for other in others:
                other.cancel()  # those that have not begun
    if interrupt is not None:
        raise interrupt


def _pool(threads: int) -> ThreadPoolExecutor:
    with _starting:
        if threads not in _pools:
            name = "kvring attends"
            _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix=name)
        return _pools[threads]
