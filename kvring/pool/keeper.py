"""The keeper of a pool: admits growth, and makes room for it.

When rows do not fit, in this order: pages in which no row is resident are given back; idle
sequences give way, if that is enough; `on_pressure` may free what is still missing; and then the
call is refused. Nobody gives way in vain.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ..admission import Wanted
from ..errors import BudgetError
from .book import POLL_SECONDS, Book, Need
from .facts import PoolEvent
from .moving import Mover, Policy
from .pooled import PooledCache
from .sequences import Hold, Sequence

if TYPE_CHECKING:
    from ..config import CacheConfig
    from .spill import SpillFolder

__all__ = ["Keeper"]

# Growth is admitted for so many tokens of every layer at once, or half as many again as there are,
# while that takes no more than this part of what is free: then page by page.
AHEAD_TOKENS = 64
AHEAD_PART = 16
# Writing takes time also where it fails. After so many failures a call spills no more.
MOST_FAILED_SPILLS = 3


class _Next(NamedTuple):
    """What to do about rows that do not fit, once the lock is given back."""

    missing: int = 0  # bytes, also when everything idle has given way
    wait: Lock | None = None
    idle: tuple[Sequence, ...] = ()


class Keeper(Mover):
    """Does the work of a :class:`~kvring.CachePool`.

    Threads: any.
    """

    def __init__(
        self,
        book: Book,
        config: CacheConfig,
        policy: Policy,
        spill: SpillFolder | None,
        on_pressure: Callable[[int], object] | None,
        on_event: Callable[[PoolEvent], object] | None,
    ) -> None:
        super().__init__(book, config, policy, spill, on_event)
        self._on_pressure = on_pressure
        self._pressed = threading.local()

    def admit(self, cache: PooledCache, wanted: Wanted, pressed: bool) -> bool:
        """Have slots of one layer admitted, and some ahead where there is plenty of room.

        True: they are not, but `on_pressure` was called, which may have changed what is needed; it
        is not called if it was `pressed` already.

        Raises
        ------
        BudgetError
            If they do not fit. Nothing has changed but what gave way, and that was not enough.
        LeaseError
            If the lease of the cache is over, or ends while room is made. Likewise.
        """
        book, layer = self.book, wanted.layer
        ring = cache.rings[layer]
        nbytes = ring.row_nbytes * wanted.row_count
        what = f"{wanted.row_count} rows of layer {layer}"
        if nbytes > book.budget_bytes:
            raise BudgetError(
                f"{what} take {nbytes:,} bytes, more than the whole budget of"
                f" {book.budget_bytes:,}; use a larger budget, or bring fewer tokens"
            )
        many = wanted.slots + max(wanted.slots // 2, AHEAD_TOKENS)
        ahead = [min(many, ring.capacity) for ring in cache.rings]
        slots = [0] * len(ahead)
        slots[layer] = cache.filled_up(layer, wanted.slots)
        need = Need(cache, slots, what)
        with book.lock:
            book.check_not_forked()
            self.check_leased(cache)
            if slots[layer] <= cache.slots_admitted()[layer]:
                cache.open()  # somebody has had them admitted meanwhile
                return False
            free = book.budget_bytes - book.committed()
            if book.grant(need._replace(slots=ahead), exact=False, limit=free // AHEAD_PART):
                return False
        return self._make_room(need, pressed)

    def reserve(self, cache: PooledCache, nbytes: int) -> None:
        """Have so many bytes admitted beside what a cache has committed; errors as of `admit`."""
        pressed = False
        what = "the rows in their new places"
        if nbytes > self.book.budget_bytes:
            raise BudgetError(
                f"{what} take {nbytes:,} bytes, more than the whole budget of"
                f" {self.book.budget_bytes:,}; use a larger budget"
            )
        while self._make_room(Need(cache, [0] * len(cache.rings), what, nbytes), pressed):
            pressed = True

    def _make_room(self, need: Need, pressed: bool) -> bool:
        failed: list[str] = []
        while True:
            step = self._granted_or_next(need, failed)
            if step is None:
                return False
            if step.wait is not None:
                step.wait.acquire(timeout=POLL_SECONDS)
            elif step.idle:
                self._have_one_give_way(step.idle, failed)
            elif pressed or not self._press(step.missing):
                raise self._refusal(need, failed)
            else:
                return True

    def _granted_or_next(self, need: Need, failed: list[str]) -> _Next | None:
        """Nothing if it is admitted now; otherwise what could be done about it."""
        book = self.book
        with book.lock:
            book.check_not_forked()
            self.check_leased(need.cache)
            if book.grant(need, exact=True):
                return None
            book.settle_all()
            book.give_back_unused()
            if book.grant(need, exact=True):
                return None
            moving = [s for s in book.sequences.values() if s.leaving]
            idle = [
                s
                for s in book.sequences.values()
                if s.idle and s.nbytes_committed and s.name not in failed
            ]
            if len(failed) >= MOST_FAILED_SPILLS:
                idle = []
            missing = book.committed() + book.more_for(need) - book.budget_bytes
            missing -= sum(s.nbytes_committed for s in idle)
            missing -= sum(s.nbytes_committed for s in moving)
            if missing > 0:
                return _Next(missing=missing)
            # One at a time: what gives way for another thread may be enough for both.
            return _Next(wait=book.turn()) if moving else _Next(idle=tuple(idle))

    def _press(self, missing: int) -> bool:
        """Let the caller's function free `missing` bytes; not from within itself."""
        if self._on_pressure is None or getattr(self._pressed, "now", False):
            return False
        self._pressed.now = True
        try:
            self._on_pressure(missing)
        finally:
            self._pressed.now = False
        return True

    def _refusal(self, need: Need, failed: list[str]) -> BudgetError:
        book = self.book
        with book.lock:
            committed, more = book.committed(), book.more_for(need)
            there = book.sequences.values()
            leased = sum(s.nbytes_committed for s in there if not s.idle)
        spills = f", of which {len(failed)} could not be spilled" if failed else ""
        return BudgetError(
            f"{need.what} take {more:,} more bytes, {book.budget_bytes - committed:,} of"
            f" {book.budget_bytes:,} are free; {leased:,} are on lease and"
            f" {committed - leased:,} idle{spills}; close or truncate a sequence, or use a larger"
            f" budget"
        )

    def _have_one_give_way(self, idle: tuple[Sequence, ...], failed: list[str]) -> None:
        """Spill or drop the one that the policy chooses, if it is still idle."""
        chosen = self.chosen(idle)
        hold = Hold("move")
        with self.book.lock:
            if not chosen.idle:
                return
            chosen.take(hold)
        self.give_way(chosen, failed)
