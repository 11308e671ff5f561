"""Lease: one thread's claim on a sequence of a pool, for one ``with`` block."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import LeaseError
from .book import POLL_SECONDS, Book
from .facts import duration, short_name
from .sequences import Hold, Sequence, described

if TYPE_CHECKING:
    from .keeper import Keeper
    from .pooled import PooledCache

__all__ = ["Lease", "claimed"]


class Lease(Hold):
    """What :meth:`CachePool.lease` returns: ``with pool.lease(name) as cache:``.

    It ends with the block. Where an interrupt hits the very call that ends it, it ends when that
    interrupt has been handled and this object is gone.
    """

    __slots__ = ("_keeper", "_name", "_sequence", "_timeout")

    def __init__(self, keeper: Keeper, name: str, timeout: float | None) -> None:
        super().__init__("lease")
        self._keeper = keeper
        self._name = name
        self._timeout = timeout
        self._sequence: Sequence | None = None

    def __enter__(self) -> PooledCache:
        if self._sequence is not None:
            raise LeaseError("a lease is entered once; call lease again for another")
        try:
            sequence = claimed(self._keeper.book, self, self._name, self._timeout, make=True)
            assert sequence is not None, "it is made if it is not there"
            self._sequence = sequence
            cache = self._keeper.bring_in(sequence)
            with self._keeper.book.lock:
                cache.open()
            return cache
        except BaseException:
            self._end()
            raise

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        book, sequence = self._keeper.book, self._sequence
        with book.lock:
            sequence = sequence or book.sequences.get(self._name)
            if sequence is None or sequence.hold is not self:
                return
            if sequence.cache is not None:
                sequence.cache.shut()
            book.let_go(sequence)
            book.settle(sequence)


def claimed(
    book: Book, hold: Hold, name: str, timeout: float | None, *, make: bool
) -> Sequence | None:
    """The sequence of that name, held by `hold` once nobody else holds it.

    Parameters
    ----------
    timeout : float or None, seconds
        How long to wait for others; None for as long as it takes.
    make : bool
        Whether to make one if there is none; otherwise the answer is None.

    Raises
    ------
    LeaseError
        If the pool is closed, this thread holds the sequence itself, or time is up. Nothing is
        held.
    """
    began = monotonic()
    hold.thread = threading.get_ident()
    while True:
        with book.lock:
            book.check_open()
            if not make and name not in book.sequences:
                return None
            sequence = book.found(name)
            other = sequence.hold
            if other is None:
                sequence.take(hold)
                if hold.doing == "lease":
                    sequence.since, sequence.leased_at = monotonic(), book.next_number()
                return sequence
            if other.thread == hold.thread:
                raise LeaseError(
                    f"this thread has {short_name(name)} on lease already and would wait for"
                    f" itself; leave that lease before"
                )
            left = POLL_SECONDS if timeout is None else timeout - (monotonic() - began)
            if left <= 0:
                raise LeaseError(_too_late(sequence, timeout))
            turn = book.turn()
            other = None  # or it would be kept alive
        turn.acquire(timeout=min(left, POLL_SECONDS))


def _too_late(sequence: Sequence, timeout: float | None) -> str:
    info = described(sequence)
    whose = f"on lease in thread {info.thread!r}" if info.thread else "being moved"
    return (
        f"{short_name(sequence.name)} is {whose} for {duration(info.seconds)}; waited {timeout} s;"
        f" use a longer timeout, or another name"
    )
