"""The book of a pool: what it knows of its sequences, under one lock, and what the budget leaves.

The lock is held for bookkeeping alone, never while a file is written, a caller's function runs or
somebody is waited for. What is committed is counted anew each time, from one number per cache, so
no interrupt can leave a wrong total.
"""

from __future__ import annotations

from itertools import count
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LeaseError
from ..forking import survives_fork
from .sequences import Arriving, Leaving, Resident, Sequence, Spilled

if TYPE_CHECKING:
    from .pooled import PooledCache

__all__ = ["POLL_SECONDS", "Book", "Need"]

# Who waits looks again so often. Waking is what ends a wait; this is for holds of interrupted
# calls, which nobody gives back.
POLL_SECONDS = 0.05
COUNTERS = ("hits", "misses", "evictions", "spills", "restores")


class Need(NamedTuple):
    """What a cache would like to have admitted.

    Parameters
    ----------
    cache : PooledCache
    slots : list of int, tokens
        Slots of each layer, from the first one on; fewer than are admitted change nothing.
    what : str
        For whom that is, for people.
    beside : int, bytes, optional
        Of new memory that rows will move to, beside all this.
    """

    cache: PooledCache
    slots: list[int]
    what: str
    beside: int | None = None


class Book:
    """Sequences by name, counters, and the lock for both.

    Parameters
    ----------
    budget_bytes : int, bytes

    Attributes
    ----------
    lock : Lock
        For every attribute and every change of a sequence. Layer locks may be taken inside it,
        never the other way round.
    closed : str
        Why no sequence can be leased any more, or "".
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.lock = Lock()
        self.sequences: dict[str, Sequence] = {}
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.high_water_bytes = 0
        self.closed = ""
        self.forked = False
        self._numbers = count(1)
        self._waiting: list[Lock] = []
        survives_fork(self, first=True)

    def committed(self) -> int:
        """Bytes of K and V that all caches have committed together, or may commit as they are."""
        return sum(sequence.nbytes_committed for sequence in self.sequences.values())

    def next_number(self) -> int:
        """A number larger than all before."""
        return next(self._numbers)

    def check_open(self) -> None:
        """Raise LeaseError if the pool is closed."""
        if self.closed:
            raise LeaseError(f"{self.closed}; make a pool of its own")

    def check_not_forked(self) -> None:
        """Raise LeaseError in a forked child, where the budget is not the child's to spend."""
        if self.forked:
            self.check_open()

    def more_for(self, need: Need) -> int:
        """Bytes that a need would commit beyond those committed."""
        cache = need.cache
        wanted = list(map(max, need.slots, cache.slots_admitted()))
        beside = cache.nbytes_reserved if need.beside is None else need.beside
        return cache.nbytes_with(wanted) + beside - cache.nbytes_committed

    def found(self, name: str) -> Sequence:
        """The sequence of that name, made if there is none; settled if nobody holds it."""
        sequence = self.sequences.get(name)
        if sequence is not None and sequence.hold is None:
            self.settle(sequence)
            sequence = self.sequences.get(name)
        if sequence is None:
            sequence = self.sequences[name] = Sequence(name, self.next_number())
        return sequence

    def settle(self, sequence: Sequence) -> None:
        """Bring to an end what an interrupted call has begun with a sequence that nobody holds."""
        place = sequence.place
        if isinstance(place, (Arriving, Leaving)):
            if place.cache.nbytes_committed:
                place.cache.give_back_all()
            sequence.place = place.source if isinstance(place, Arriving) else place.then
        elif isinstance(place, Resident) and self.closed:
            self.begin_leaving(sequence, None)
            self.settle(sequence)
        if isinstance(sequence.place, Spilled) and self.closed:
            sequence.place = None  # its file goes with the folder
        if sequence.place is None:
            self.sequences.pop(sequence.name, None)

    def begin_leaving(self, sequence: Sequence, then: Spilled | None) -> None:
        """From now on its file counts, or nothing; its memory still counts until it is given back.

        The sequence is resident.
        """
        cache = sequence.cache
        assert cache is not None, "only what is in memory leaves it"
        sequence.place = Leaving(cache, then)

    def settle_all(self) -> None:
        """Settle every sequence that nobody holds."""
        for sequence in list(self.sequences.values()):
            if sequence.hold is None:
                self.settle(sequence)

    def grant(self, need: Need, *, exact: bool, limit: int | None = None) -> bool:
        """Admit what is needed, if it fits and commits no more than `limit` anew."""
        more, cache = self.more_for(need), need.cache
        committed = self.committed() + more
        if (limit is not None and more > limit) or committed > self.budget_bytes:
            return False
        self.high_water_bytes = max(self.high_water_bytes, committed)
        cache.grant(need.slots, cache.nbytes_committed + more, exact=exact)
        if need.beside is not None:
            cache.nbytes_reserved = need.beside
        return True

    def give_back_unused(self) -> None:
        """Have all caches give back pages in which no row is resident."""
        for sequence in self.sequences.values():
            if isinstance(sequence.place, Resident):
                sequence.place.cache.give_back_unused()

    def let_go(self, sequence: Sequence) -> None:
        """End a hold, and tell whoever waits."""
        hold = sequence.hold
        if hold is not None and hold.doing == "lease":
            sequence.since = monotonic()
        sequence.let_go()
        self.wake()

    def turn(self) -> Lock:
        """A lock that comes free at the next change, to wait for without the book's own lock."""
        turn = Lock()
        turn.acquire()
        self._waiting.append(turn)
        return turn

    def wake(self) -> None:
        """Let everybody who waits look again."""
        while self._waiting:
            self._waiting.pop().release()

    def _locks(self) -> list[Lock]:
        return [self.lock]

    def _after_fork(self) -> None:
        self.lock = Lock()
        self._waiting.clear()
        self.forked = True
        self.closed = "this pool belongs to the process that was forked"
