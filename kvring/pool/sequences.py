"""One sequence of a pool: where its rows are, and who holds it.

A sequence is in one place at a time, and a place is one attribute, so no interrupt leaves it in
two. Who works on a sequence holds it through a *hold*, which the sequence knows weakly: a hold that
is gone, with the frame of an interrupted call, holds nothing. Whoever comes next finds that out,
and brings what was under way to an end (:meth:`kvring.pool.book.Book.settle`).
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeAlias

from .facts import SequenceInfo

if TYPE_CHECKING:
    from ..config import CacheConfig
    from .pooled import PooledCache

__all__ = ["Arriving", "Hold", "Leaving", "Place", "Resident", "Sequence", "Spilled", "described"]


@dataclass(frozen=True)
class Resident:
    """In memory."""

    cache: PooledCache


@dataclass(frozen=True)
class Spilled:
    """In a file.

    Parameters
    ----------
    path : Path
    mark : tuple of int
        By which the file is known again: see `SpillFolder.write`.
    config : CacheConfig
        Of its cache, which may have been rearranged or resized.
    slots : tuple of int, tokens
        Slots of each layer that its rows lie in, from the first one on.
    seq_len : int, tokens
    nbytes : int, bytes
        What it had committed, exactly.
    """

    path: Path
    mark: tuple[int, ...]
    config: CacheConfig
    slots: tuple[int, ...]
    seq_len: int
    nbytes: int


@dataclass(frozen=True)
class Arriving:
    """On the way from a file to memory: the file counts."""

    cache: PooledCache
    source: Spilled


@dataclass(frozen=True)
class Leaving:
    """Its memory is being given back; then it is in its file, or (None) nowhere."""

    cache: PooledCache
    then: Spilled | None


# None: nowhere yet, or nowhere any more.
Place: TypeAlias = "Resident | Spilled | Arriving | Leaving | None"


class Hold:
    """A claim on a sequence, for as long as this object lives or until it is let go."""

    __slots__ = ("__weakref__", "doing", "thread")

    def __init__(self, doing: Literal["lease", "move"]) -> None:
        self.doing = doing
        self.thread = threading.get_ident()


class Sequence:
    """What a pool knows of one name. Changed under the pool's lock, or by who holds it.

    Attributes
    ----------
    name : str
    number : int
        The order of creation.
    leased_at : int
        The order of the last lease.
    since : float, seconds
        When it was leased or given back, on the clock `time.monotonic`.
    place : Place
    """

    __slots__ = ("__weakref__", "_hold", "leased_at", "name", "number", "place", "since")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.leased_at = number
        self.since = monotonic()
        self.place: Place = None
        self._hold: weakref.ref[Hold] | None = None

    @property
    def hold(self) -> Hold | None:
        """Who holds it."""
        reference = self._hold
        return None if reference is None else reference()

    def take(self, hold: Hold) -> None:
        """Be held by `hold`."""
        self._hold = weakref.ref(hold)

    def let_go(self) -> None:
        """Be held by nobody."""
        self._hold = None

    @property
    def cache(self) -> PooledCache | None:
        """The cache whose memory counts for it, if there is one."""
        place = self.place
        return place.cache if isinstance(place, (Resident, Arriving, Leaving)) else None

    @property
    def nbytes_committed(self) -> int:
        """Bytes of memory it takes from the budget."""
        cache = self.cache
        return 0 if cache is None else cache.nbytes_committed

    @property
    def idle(self) -> bool:
        """Whether it is in memory and nobody holds it."""
        return isinstance(self.place, Resident) and self.hold is None

    @property
    def leaving(self) -> bool:
        """Whether somebody is about to give back its memory."""
        hold = self.hold
        moved = hold is not None and hold.doing == "move"
        return moved and isinstance(self.place, (Resident, Leaving))


def described(sequence: Sequence) -> SequenceInfo:
    """What there is to say about a sequence."""
    hold, place = sequence.hold, sequence.place
    where: Literal["leased", "idle", "spilled", "moving"]
    if isinstance(place, Spilled) and hold is None:
        where = "spilled"
    elif isinstance(place, Resident) and (hold is None or hold.doing == "lease"):
        where = "idle" if hold is None else "leased"
    else:
        where = "moving"
    cache = place.cache if isinstance(place, Resident) else None
    of_file = place if isinstance(place, Spilled) else None
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return SequenceInfo(
        sequence.name,
        where,
        of_file.nbytes if of_file else sequence.nbytes_committed,
        of_file.seq_len if of_file else int(cache.seq_lens.max()) if cache else 0,
        monotonic() - sequence.since,
        sequence.number,
        sequence.leased_at,
        names.get(hold.thread, "") if where == "leased" and hold else "",
    )
