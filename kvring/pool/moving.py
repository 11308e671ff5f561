"""How sequences of a pool leave memory and come back: dropped, parked on disk, restored, closed.

Nothing is held meanwhile but the sequence concerned: not while a file is written, not while a
caller's function runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Listed
from typing import TYPE_CHECKING, Any, Literal

from ..admission import Wanted
from ..errors import LeaseError, PolicyError, SnapshotError
from .book import POLL_SECONDS, Book, Need
from .facts import PoolEvent, SequenceInfo, short_name
from .pooled import PooledCache
from .sequences import Arriving, Resident, Sequence, Spilled, described

if TYPE_CHECKING:
    from ..config import CacheConfig
    from .spill import SpillFolder

__all__ = ["Mover", "Policy"]

Policy = Literal["lru", "fifo"] | Callable[[Listed[SequenceInfo]], str]


class Mover(ABC):
    """What happens to one sequence at a time, which the caller holds."""

    def __init__(
        self,
        book: Book,
        config: CacheConfig,
        policy: Policy,
        spill: SpillFolder | None,
        on_event: Callable[[PoolEvent], object] | None,
    ) -> None:
        self.book = book
        self.config = config
        self.spill = spill
        self._policy = policy
        self._on_event = on_event

    def recount(self, cache: PooledCache) -> None:
        """Give back what a move to new memory has left behind, and what was reserved for it."""
        with self.book.lock:
            cache.recount()

    def check_leased(self, cache: PooledCache) -> None:
        """Raise LeaseError unless the cache is that of a sequence on lease, or on its way in.

        Whoever admits anything asks this under the book's lock: a lease may end while room is made.
        """
        sequence: Sequence | None = cache.sequence()
        hold = None if sequence is None else sequence.hold
        place = None if sequence is None else sequence.place
        if not isinstance(place, (Resident, Arriving)) or place.cache is not cache:
            raise LeaseError("this cache is no longer in its pool; lease its sequence again")
        if hold is None or hold.doing != "lease":
            raise LeaseError("the lease of this cache is over; lease its sequence again")

    @abstractmethod
    def admit(self, cache: PooledCache, wanted: Wanted, pressed: bool) -> bool:
        """Have slots of one layer admitted, or (True) the caller's function called."""

    @abstractmethod
    def reserve(self, cache: PooledCache, nbytes: int) -> None:
        """Have memory for moved rows admitted."""

    @abstractmethod
    def _make_room(self, need: Need, pressed: bool) -> bool:
        """Have what is needed admitted, or (True) the caller's function called."""

    def chosen(self, idle: tuple[Sequence, ...]) -> Sequence:
        if self._policy == "lru":
            return min(idle, key=lambda sequence: sequence.leased_at)
        if self._policy == "fifo":
            return min(idle, key=lambda sequence: sequence.number)
        assert callable(self._policy)
        infos = [described(sequence) for sequence in idle]
        name: object = self._policy(infos)
        for sequence in idle:
            if isinstance(name, str) and sequence.name == name:
                return sequence
        raise PolicyError(
            f"policy: expected the name of one of the {len(idle)} idle sequences it was given, got"
            f" {name!r:.80}"
        )

    def give_way(self, sequence: Sequence, failed: list[str]) -> None:
        """Park or drop a sequence that this call holds, and let it go."""
        nbytes, spilled, reason = sequence.nbytes_committed, None, ""
        try:
            if self.spill is not None:
                try:
                    spilled = self._written(sequence, self.spill)
                except (OSError, SnapshotError) as error:
                    reason = str(error) or type(error).__name__
            if not reason:
                self._clear(sequence, spilled, counted=True)
        finally:
            with self.book.lock:
                self.book.let_go(sequence)
        if reason:
            failed.append(sequence.name)
        kind: Any = "spill failed" if reason else "spilled" if spilled else "dropped"
        self.tell(PoolEvent(kind, sequence.name, nbytes, reason))

    def _written(self, sequence: Sequence, spill: SpillFolder) -> Spilled:
        """A sequence's file, written anew."""
        cache = sequence.cache
        assert cache is not None
        slots = [cache.filled_up(at, count) for at, count in enumerate(cache.slots_resident())]
        path, mark = spill.write(sequence.name, cache)
        seq_len = int(cache.seq_lens.max())
        return Spilled(path, mark, cache.config, tuple(slots), seq_len, cache.nbytes_with(slots))

    def _clear(self, sequence: Sequence, then: Spilled | None, *, counted: bool) -> None:
        """Give back the memory of a resident sequence that this call holds."""
        book, cache = self.book, sequence.cache
        assert cache is not None
        with book.lock:
            book.begin_leaving(sequence, then)
            if counted:
                book.counters["evictions"] += 1
                book.counters["spills"] += then is not None
        cache.give_back_all()
        with book.lock:
            book.settle(sequence)

    def forget(self, sequence: Sequence) -> None:
        """Close a sequence that this call holds; its file goes too."""
        nbytes, place = sequence.nbytes_committed, sequence.place
        if isinstance(place, Resident):
            self._clear(sequence, None, counted=False)
        with self.book.lock:
            if isinstance(place, Spilled):
                sequence.place = None
            self.book.settle(sequence)
            self.book.let_go(sequence)
        if isinstance(place, Spilled) and self.spill is not None:
            self.spill.remove(place.path)
        self.tell(PoolEvent("closed", sequence.name, nbytes))

    def bring_in(self, sequence: Sequence) -> PooledCache:
        """The cache of a sequence that this call holds: found, made or restored."""
        book, place = self.book, sequence.place
        if isinstance(place, Resident):
            with book.lock:
                book.counters["hits"] += 1
            return place.cache
        config = place.config if isinstance(place, Spilled) else self.config
        cache = PooledCache.empty(config, self, sequence)
        if isinstance(place, Spilled):
            self._restore(sequence, place, cache)
            return cache
        with book.lock:
            sequence.place = Resident(cache)
            book.counters["misses"] += 1
        self.tell(PoolEvent("created", sequence.name, 0))
        return cache

    def _restore(self, sequence: Sequence, spilled: Spilled, cache: PooledCache) -> None:
        book, spill = self.book, self.spill
        assert spill is not None, "what is spilled has been spilled somewhere"
        with book.lock:
            sequence.place = Arriving(cache, spilled)
        pressed = False
        what = f"the {spilled.seq_len} tokens of {short_name(sequence.name)} on disk"
        try:
            spill.check(
                spilled.path, spilled.mark
            )  # first: nobody gives way for a file that is gone
            while self._make_room(Need(cache, list(spilled.slots), what), pressed):
                pressed = True
            spill.read(spilled.path, cache)
            spill.check(spilled.path, spilled.mark)
        except (OSError, SnapshotError) as error:
            self.tell(PoolEvent("restore failed", sequence.name, spilled.nbytes, str(error)))
            raise SnapshotError(
                f"sequence {short_name(sequence.name)} was spilled to {spilled.path} and cannot be"
                f" read: {error}; close it to begin anew"
            ) from error
        with book.lock:
            sequence.place = Resident(cache)
            book.counters["restores"] += 1
        spill.remove(spilled.path)
        self.tell(PoolEvent("restored", sequence.name, cache.nbytes_committed))

    def tell(self, event: PoolEvent) -> None:
        """Tell the caller's function, while nothing is held but what a lease holds."""
        if self._on_event is not None:
            self._on_event(event)

    def await_moves(self) -> None:
        """Wait for sequences that are on their way out of memory, in other threads."""
        book = self.book
        while True:
            with book.lock:
                if not any(sequence.leaving for sequence in book.sequences.values()):
                    return
                turn = book.turn()
            turn.acquire(timeout=POLL_SECONDS)
