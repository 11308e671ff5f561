"""PooledCache: a KVCache that has every page admitted by its pool before it writes to it.

The fast path of `update` is the ordinary one. Behind the slots admitted the kernel refuses, the
careful path learns why, lets go of the layer, has more slots admitted and tries again; so nobody
waits for the pool while a layer is held, and a refused update has changed nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..admission import NotAdmittedError, NotReservedError, Wanted
from ..cache import KVCache
from ..errors import LeaseError
from ..rows import states_of
from .committed import Committed, alike_layers, nbytes_in_new_memory, nbytes_of_all

if TYPE_CHECKING:
    from ..cache.surgery import Pick
    from ..config import CacheConfig
    from ..rows import LayerState, Order
    from ..strategy import EvictingStrategy, Strategy
    from ..view import KVView

__all__ = ["PooledCache"]

Result = TypeVar("Result")


class Gate(Protocol):
    """Whoever admits slots."""

    def check_leased(self, cache: PooledCache) -> None:
        """Raise LeaseError unless the cache is on lease."""

    def reserve(self, cache: PooledCache, nbytes: int) -> None:
        """Have memory for moved rows admitted beside the old; errors as of `admit`."""

    def recount(self, cache: PooledCache) -> None:
        """Give back what a move has left behind, and what was reserved for it."""

    def admit(self, cache: PooledCache, wanted: Wanted, pressed: bool) -> bool:
        """Have slots admitted, or raise BudgetError or LeaseError with nothing changed.

        True: the caller's function was called instead, which is done once for an update, so that
        it is planned anew.
        """


class PooledCache(KVCache):
    """The cache of one sequence of a :class:`~kvring.CachePool`, which alone makes them.

    Attributes
    ----------
    sequence : weakref.ref of Sequence
        Whose cache it is, or was.
    nbytes_committed : int, bytes
        What counts against the budget: whole pages of K and V, written or admitted ahead. Stored
        before pages are admitted and after they are given back, so it is never too small.
    """

    _committed: tuple[Committed, ...]
    # Weak, both: a cycle would keep the memory of a dropped pool until garbage is collected.
    _gate: weakref.ref[Gate]
    sequence: weakref.ref[Any]

    @classmethod
    def empty(cls, config: CacheConfig, gate: Gate, sequence: object) -> PooledCache:
        """The cache of a sequence, with no rows, that may write nothing as yet."""
        cache = cls.__new__(cls)
        cache._gate, cache.sequence = weakref.ref(gate), weakref.ref(sequence)
        cache._build(config, huge_pages=False)
        return cache

    def _build(self, config: CacheConfig, huge_pages: bool) -> None:
        super()._build(config, huge_pages)
        self._committed = tuple(map(Committed, self.rings))
        self.nbytes_committed = 0
        self.nbytes_reserved, self._moving = 0, False
        self._alike = alike_layers(config)
        self._replaces = any(strategy.replaces for strategy in self._strategies)
        # Two marks: of the last change that may have left pages unused, and of the one seen last.
        self._changed = self._seen = object()

    def copy(self) -> KVCache:  # type: ignore[override]
        """A copy of its own, outside the pool: an ordinary KVCache, not in the budget."""
        twin = KVCache.__new__(KVCache)
        self._copy_to(twin)
        return twin

    @classmethod
    def load(cls, path: Any, **options: Any) -> Any:
        """As of KVCache, which it makes: a cache of its own, outside the pool."""
        return KVCache.load(path, **options)

    # What the pool calls, most of it with its lock held.

    def slots_admitted(self) -> list[int]:
        """Slots admitted in each layer, from the first one on."""
        return [layer.slots for layer in self._committed]

    def slots_resident(self) -> list[int]:
        """In each layer, slots up to the last one that holds a row."""
        return [self._slots_resident(layer) for layer in range(len(self.rings))]

    def nbytes_with(self, slots: list[int]) -> int:
        """What would be committed with so many slots in each layer."""
        return nbytes_of_all(self._committed, self._alike, slots)

    def grant(self, slots: list[int], nbytes: int, *, exact: bool) -> None:
        """Admit so many slots in each layer, which commit `nbytes` in all."""
        if not exact:
            self._changed = object()
        self.nbytes_committed = nbytes
        for layer, count in zip(self._committed, slots, strict=True):
            if count > layer.slots:
                layer.admit(count)

    def filled_up(self, layer: int, slots: int) -> int:
        """So many slots of a layer, and those that fit in the same pages."""
        return self._committed[layer].filled_up(slots)

    def open(self) -> None:
        """Let updates write what is admitted."""
        for layer in self._committed:
            layer.open()

    def shut(self) -> None:
        """Let no update write anything."""
        for layer in self._committed:
            layer.shut()

    def give_back_unused(self) -> None:
        """Give back all pages in which no row is resident."""
        seen = self._changed
        if seen is self._seen and not self._replaces:
            return
        for number, (ring, layer) in enumerate(zip(self.rings, self._committed, strict=True)):
            with ring.lock:
                layer.give_back_behind(self._slots_resident(number))
        self._seen = seen
        self.nbytes_committed = self.nbytes_with(self.slots_admitted()) + self.nbytes_reserved

    def give_back_all(self) -> None:
        """Forget all rows and give back all pages. Views are stale afterwards, if any are left."""

        def clear() -> None:
            self._settle_all(lambda strategy, _, epoch: strategy.start(epoch))
            for layer in self._committed:
                layer.shut()
                layer.give_back_behind(0)

        self._holding_all_locks(clear)
        self.nbytes_committed = 0

    def _slots_resident(self, layer: int) -> int:
        slots = self.slots(layer)
        return int(slots.max()) + 1 if slots.size else 0

    # What changes a layer asks the pool first.

    def _update_carefully(self, layer: int, keys: Any, values: Any, order: Order) -> KVView:
        update = super()._update_carefully
        return self._admitted(lambda: update(layer, keys, values, order))

    def _update_other(
        self,
        layer: int,
        keys: Any,
        values: Any,
        seq_len: int | None,
        token_counts: Iterable[int] | None,
        padding: object,
        order: Order,
    ) -> KVView:
        if isinstance(token_counts, Iterable) and not isinstance(token_counts, (list, np.ndarray)):
            token_counts = list(token_counts)  # it may be looked at more than once
        update = super()._update_other
        return self._admitted(
            lambda: update(layer, keys, values, seq_len, token_counts, padding, order)
        )

    def _change_all(
        self, change: Callable[[], Result], what: str = "take tokens back in the middle of one"
    ) -> Result:
        keeper, reserved = self._keeper(), False
        try:
            while True:
                try:
                    return super()._change_all(change, what)
                except NotReservedError as refused:
                    nbytes = refused.nbytes
                reserved = True  # also where an interrupt comes in the middle
                keeper.reserve(self, nbytes)
        finally:
            self._changed = object()
            if reserved or self._moving:
                keeper.recount(self)

    def _forgetting(self, layer: int, verb: str) -> EvictingStrategy:
        self._keeper()
        return super()._forgetting(layer, verb)

    def _change_pins(self, named: list[int], *, keep: bool) -> None:
        self._keeper()
        super()._change_pins(named, keep=keep)

    def _rearrange(self, picks: Sequence[Pick]) -> None:
        if len(picks) != self.batch:
            used = [
                max(
                    (run.slot + run.rows for p in picks for run in p.cache._held(n, p.batch_row)),
                    default=0,
                )
                for n in range(len(self.rings))
            ]
            self._reserved_for(len(picks), [ring.capacity for ring in self.rings], used)
        super()._rearrange(picks)

    def _resize(self, given: dict[str, int]) -> None:
        capacities = [mode.capacity for mode in self._new_modes(given)]
        if capacities != [ring.capacity for ring in self.rings]:
            used = []
            for capacity, state, held in zip(
                capacities, self._states(), self.slots_resident(), strict=True
            ):
                # A ring that has come round has its rows anywhere.
                most = max(max(one.seq_len for one in states_of(state)), held)
                used.append(min(capacity, most))
            self._reserved_for(self.batch, capacities, used)
        super()._resize(given)

    def _reserved_for(self, batch: int, capacities: list[int], used: list[int]) -> None:
        """Make sure that new memory of all layers may be committed beside the old.

        So many slots of each layer will have rows. All locks are held.
        """
        nbytes = sum(
            nbytes_in_new_memory(ring, batch, capacity, slots)
            for ring, capacity, slots in zip(self.rings, capacities, used, strict=True)
        )
        if nbytes > self.nbytes_reserved:
            raise NotReservedError(nbytes)
        self._moving = True
        self.shut()  # until what is in the new memory has been counted

    def recount(self) -> None:
        """Count what is committed after rows have moved to new memory, and give back the old."""

        def count() -> None:
            layers = []
            for number, (ring, layer) in enumerate(zip(self.rings, self._committed, strict=True)):
                if not layer.is_of(ring):
                    layer.give_back_behind(0)
                    new = Committed(ring)
                    new.slots = new.filled_up(self._slots_resident(number))
                    layers.append(new)
                else:
                    layers.append(layer)
            self._committed = tuple(layers)
            self.open()

        self._holding_all_locks(count)
        self._alike = alike_layers(self.config)
        self.nbytes_committed = self.nbytes_with(self.slots_admitted())
        self.nbytes_reserved, self._moving = 0, False

    def _settle_all(self, change: Callable[[Strategy, LayerState, int], LayerState]) -> None:
        self._changed = object()  # marked twice: whoever looks in between looks again
        super()._settle_all(change)
        self._changed = object()

    def _admitted(self, update: Callable[[], Result]) -> Result:
        """Run `update`, which writes nothing but what is admitted, as often as it takes."""
        pressed = False
        try:
            keeper = self._keeper()  # also for updates that write nothing, and empty a layer
            while True:
                try:
                    return update()
                except NotAdmittedError as refused:
                    wanted = refused.wanted  # without the exception, which knows all frames below
                pressed = keeper.admit(self, wanted, pressed) or pressed
        except BaseException:
            self._changed = object()  # what was admitted for it may be of no use to anybody
            raise

    def _keeper(self) -> Gate:
        """Who admits slots; LeaseError unless the cache is on lease."""
        gate = self._gate()
        if gate is None:
            raise LeaseError("the pool of this cache is gone; lease its sequence from another")
        gate.check_leased(self)
        return gate
