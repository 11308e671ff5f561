"""Other numbers of slots for what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import setitem
from typing import Any

from ..checks import checked_tokens
from ..config import Circular, Mode
from ..errors import CapacityError, ConfigError, EvictedError
from ..plan import Move
from ..rows import State, joined_state, per_batch_row
from ..strategy import EvictingStrategy, Strategy, strategy_for
from .relocation import Change, Stretch, at_once, becoming, relocated
from .steps import Steps
from .surgery import SurgeryCache

__all__ = ["ResizedCache"]


class ResizedCache(SurgeryCache):
    """The verb of :class:`kvring.KVCache` that changes how much it can hold."""

    _steps: tuple[Steps, ...]

    def resize(
        self,
        *,
        capacity: int | None = None,
        window: int | None = None,
        rollback_tokens: int | None = None,
    ) -> None:
        """Give layers other numbers of slots; the rows that are there stay.

        Parameters
        ----------
        capacity : int, tokens, optional
            Of all layers in append and replace mode: as many as any batch row of them holds, or
            more.
        window : int, tokens, optional
            Of all circular layers. A smaller one at any time: rows behind it and `rollback_tokens`
            go. A larger one only while every batch row has all its rows.
        rollback_tokens : int, tokens, optional
            Of all circular layers. After more of them the ring can be taken back further as soon
            as it has filled up.

        Raises
        ------
        DTypeError
            If a number is no int. Nothing changes.
        ConfigError
            If none is given; no layer has such a number; it is out of range; the memory cannot be
            reserved. Nothing changes.
        CapacityError
            If a layer holds more rows than its new capacity. Nothing changes.
        EvictedError
            If a larger window would show rows that are gone. Nothing changes.
        LockError
            If this thread reads a layer, or is in a step of this cache. Nothing changes.

        Notes
        -----
        Pins, and what policies remember, stay with their rows. Rows that go do not count as
        evicted in `stats`: they gave way to nobody. Views of all layers are stale afterwards;
        arrays taken out of them before keep the memory they look at. Cost: layers whose number of
        slots changes have their resident rows copied once, into new memory; the old one is given
        back. Threads: as of `truncate`.

        Examples
        --------
        >>> import numpy as np
        >>> from kvring import Circular, KVCache
        >>> mode = Circular(window=4, rollback_tokens=1)
        >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=mode)
        >>> row = np.ones((1, 1, 1, 1), np.float32)
        >>> for token in range(7):
        ...     view = cache.update(0, row, row)
        >>> cache.resize(window=2)
        >>> cache.positions(0).tolist(), cache.read(0).positions.tolist()
        ([4, 5, 6], [5, 6])
        >>> cache.resize(window=3)
        Traceback (most recent call last):
        kvring.errors.EvictedError: cannot widen the window of layer 0 from 2 to 3: of 7 tokens \
only 3 are still there; reset and refill
        """
        names = {"capacity": capacity, "window": window, "rollback_tokens": rollback_tokens}
        given = {k: checked_tokens(k, v) for k, v in names.items() if v is not None}
        if not given:
            raise ConfigError("resize: expected capacity, window or rollback_tokens, got none")
        self._change_all(lambda: self._resize(given), "resize it in the middle of one")

    def _resize(self, given: dict[str, int]) -> None:
        """Every layer in its new mode. All locks are held."""
        modes = self._new_modes(given)
        for layer, mode in enumerate(modes):
            for batch_row, state in enumerate(per_batch_row(self.rings[layer].state, self.batch)):
                _check_holds(mode, self.config.layers[layer].strategy, state, layer, batch_row)
        epoch = 1 + max(state.epoch for state in self._states())
        shared: dict[Any, Move] = {}
        strategies: dict[int, Strategy] = {}  # of each Steps, which layers share
        moves: list[Move] = []
        published: list[Change] = []
        for mode, ring, steps in zip(modes, self.rings, self._steps, strict=True):
            old = steps.strategy
            new = strategies.setdefault(id(steps), old if old.evicts else strategy_for(mode))
            states = per_batch_row(ring.state, self.batch)
            after = joined_state([new.adopted(state, epoch) for state in states])
            if isinstance(old, EvictingStrategy):
                move, of_policy, stretches = _of_table(old, mode, after, ring)
                published += of_policy
            else:
                move = new.rest(after, shared)
                stretches = _of_places(old, new, per_batch_row(after, self.batch), ring)
                published.append(partial(setattr, steps, "strategy", new))
            moves.append(move)
            if mode.capacity != ring.capacity:
                relocation = relocated(ring, self.batch, mode.capacity, stretches)
                published += becoming(ring, relocation, self.batch, mode.capacity)
        self._publish(modes, [strategies[id(steps)] for steps in self._steps], moves, published)

    def _publish(
        self,
        modes: list[Mode],
        strategies: list[Strategy],
        moves: list[Move],
        published: list[Change],
    ) -> None:
        """All of it in one call."""
        layers = zip(self.config.layers, modes, strict=True)
        config = replace(
            self.config, layers=tuple(replace(layer, strategy=mode) for layer, mode in layers)
        )
        changed = {"config": config, "_strategies": tuple(strategies)}
        published.append(partial(setitem, self._ledger, slice(None), moves))
        published.append(partial(dict.update, self.__dict__, changed))
        before = [(ring._keys, ring._values) for ring in self.rings]  # freed when all is over
        at_once(published)
        del before

    def _new_modes(self, given: dict[str, int]) -> list[Mode]:
        """The mode of each layer with the numbers given; ConfigError if they fit no layer."""
        modes: list[Mode] = []
        unknown = set(given)
        for layer in self.config.layers:
            mode: Any = layer.strategy
            names = ("window", "rollback_tokens") if isinstance(mode, Circular) else ("capacity",)
            unknown -= set(names)
            modes.append(replace(mode, **{k: v for k, v in given.items() if k in names}))
        if unknown:
            (name, *_) = sorted(unknown)
            has = "append or replace" if name == "capacity" else "circular"
            raise ConfigError(
                f"{name}: expected a cache with a layer in {has} mode, got none; a ring takes"
                f" window and rollback_tokens, the other modes capacity"
            )
        return modes


def _check_holds(mode: Mode, old: Mode, state: State, layer: int, batch_row: int) -> None:
    """Raise unless the rows of a batch row fit, and all that a larger window shows is there."""
    if isinstance(mode, Circular) and isinstance(old, Circular):
        if mode.window > old.window and state.length < state.seq_len:
            raise EvictedError(
                f"cannot widen the window of layer {layer} from {old.window} to {mode.window}: of"
                f" {state.seq_len} tokens only {state.length} are still there; reset and refill"
            )
    elif state.length > mode.capacity:
        raise CapacityError(
            f"cannot resize layer {layer} to capacity {mode.capacity}: batch row {batch_row} holds"
            f" {state.length} rows; truncate, evict or reset first"
        )


def _of_places(
    old: Strategy, new: Strategy, states: tuple[State, ...], ring: Any
) -> Iterator[Stretch]:
    """Where rows go whose slots follow from their positions."""
    for batch_row, state in enumerate(states):
        for position, slot, rows in new.resident(state):
            for part in old.place(position, position + rows):
                to_slot = slot + part.position - position
                yield Stretch(ring, batch_row, part.slot, batch_row, to_slot, part.rows)


def _of_table(
    strategy: EvictingStrategy, mode: Any, after: Any, ring: Any
) -> tuple[Move, list[Change], Iterator[Stretch]]:
    """The same where slots are in a table: most rows stay in their slots."""
    move, changes, origins = strategy.resized(mode, after)

    def stretches() -> Iterator[Stretch]:
        for batch_row, origin in enumerate(origins):
            both = list(zip(origin.from_slots.tolist(), origin.to_slots.tolist(), strict=True))
            staying = max((slot + 1 for slot, to in both if slot == to), default=0)
            yield Stretch(ring, batch_row, 0, batch_row, 0, staying)
            for slot, to in both:
                if slot != to:
                    yield Stretch(ring, batch_row, slot, batch_row, to, 1)

    return move, changes, stretches()
