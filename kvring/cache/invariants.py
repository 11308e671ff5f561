"""Every invariant of a cache, stated from the laws and not from the code that keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..config import Circular, Mode
from ..rows import RaggedState, State, per_batch_row, states_of
from ..strategy import EvictingStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ring import RingBuffer
    from .facts import CacheFacts

__all__ = ["check_cache"]


def check_cache(cache: CacheFacts) -> None:
    """Raise an AssertionError that names the layer, the invariant and the state that breaks it."""
    for layer, (ring, layer_config) in enumerate(
        zip(cache.rings, cache.config.layers, strict=True)
    ):
        where = f"layer {layer}, {layer_config.strategy}, {ring.state}"
        strategy = cache._strategies[layer]
        _check_sizes(cache, layer, where)
        _check_batch_rows(ring, where)
        if isinstance(strategy, EvictingStrategy):
            _check_evicting(strategy, per_batch_row(ring.state, ring.batch), where)
        else:
            for state in states_of(ring.state):
                _check_state(state, layer_config.strategy, where)
            _check_slots(cache, layer, where)
        _check_storage(ring, where)


def _check_sizes(cache: CacheFacts, layer: int, where: str) -> None:
    """Whether all who know how large a layer is know the same, also after surgery and resize."""
    ring, strategy, mode = cache.rings[layer], cache._strategies[layer], cache.config.layers[layer]
    capacities = {ring.capacity, strategy.capacity, mode.strategy.capacity}
    _require(len(capacities) == 1, f"{where}: capacities {sorted(capacities)}")
    batches = {ring.batch, cache.config.batch}
    if isinstance(strategy, EvictingStrategy):
        batches |= {strategy.batch, strategy.table.batch}
    _require(len(batches) == 1, f"{where}: batches {sorted(batches)}")


def _check_batch_rows(ring: RingBuffer, where: str) -> None:
    """Law 11: batch rows that are alike share a state, and all that the layer does to them."""
    state = ring.state
    if isinstance(state, RaggedState):
        of_batch_rows = state.batch_rows
        _require(len(of_batch_rows) == ring.batch, f"{where}: expected {ring.batch} batch rows")
        _require(len(set(of_batch_rows)) > 1, f"{where}: batch rows that are alike")
        epochs = {one.epoch for one in of_batch_rows}
        _require(len(epochs) == 1, f"{where}: batch rows in epochs {sorted(epochs)}")


def _require(holds: bool, broken: str) -> None:
    """An assert that ``python -O`` does not leave out."""
    if not holds:
        raise AssertionError(broken)


def _check_state(state: State, mode: Mode, where: str) -> None:
    resident = _positions(state, mode)
    _require(0 <= state.length <= mode.capacity, f"{where}: length outside 0..{mode.capacity}")
    _require(state.length <= state.seq_len, f"{where}: more rows resident than tokens seen")
    _require(state.epoch >= 0, f"{where}: negative epoch")
    _require(len(resident) == state.length, f"{where}: {len(resident)} positions resident")
    if state.seq_len:
        seen = _visible(state.seq_len - 1, mode)
        gone = sorted(seen - set(resident))
        _require(not gone, f"{where}: the newest token misses positions {gone}")
    if not isinstance(mode, Circular):
        _require(state.length == state.seq_len, f"{where}: a position is missing")
        _require(state.head == 0, f"{where}: head is not slot 0")


def _check_evicting(strategy: EvictingStrategy, states: Sequence[State], where: str) -> None:
    """Law 2 with a policy: any rows, but all sinks, pins, and all since the last eviction."""
    pins = strategy.catch_up().pins
    table = strategy.table.positions.tolist()
    for state, of_row, row in zip(states, pins, table, strict=True):
        seq_len, floor = state.seq_len, state.truncate_floor
        _require(0 <= floor <= seq_len, f"{where}: truncate_floor outside 0..{seq_len}")
        _require(state.head == 0, f"{where}: head is not slot 0")
        _require(state.length <= strategy.capacity, f"{where}: more rows than slots")
        staying = {*range(min(strategy.sink_tokens, seq_len)), *of_row, *range(floor, seq_len)}
        resident = [position for position in row if position >= 0]
        held = set(resident)
        _require(len(resident) == state.length, f"{where}: resident positions are {resident}")
        _require(len(held) == len(resident), f"{where}: a position in two slots: {row}")
        _require(max(held, default=-1) < seq_len, f"{where}: unseen positions in {row}")
        _require(staying <= held, f"{where}: positions {sorted(staying - held)} are gone")
        in_order = floor > 0 or row[: state.length] == list(range(seq_len))
        _require(in_order, f"{where}: nothing has left, yet slots are {row}")
    _require(strategy.table.used_slots <= strategy.capacity, f"{where}: slots behind the last")
    broken = strategy.tracker.broken()
    _require(not broken, f"{where}: {broken}")


def _check_slots(cache: CacheFacts, layer: int, where: str) -> None:
    mode = cache.config.layers[layer].strategy
    states = states_of(cache.rings[layer].state)
    positions, slots = cache.positions(layer), cache.slots(layer)
    _require(positions.shape == slots.shape, f"{where}: {slots.shape} slots, {positions.shape}")
    _require(positions.ndim == (2 if len(states) > 1 else 1), f"{where}: {positions.shape}")
    for state, *of in zip(states, np.atleast_2d(positions), np.atleast_2d(slots), strict=True):
        padding = max(len(of[0]) - state.length, 0) if len(states) > 1 else 0
        for line in of:
            _require(set(line[:padding]) <= {-1}, f"{where}: padding is {line[:padding]}")
        held, at = (line[padding:].tolist() for line in of)
        _check_slots_of(state, held, at, mode, where)


def _check_slots_of(
    state: State, positions: list[int], slots: list[int], mode: Mode, where: str
) -> None:
    _require(positions == _positions(state, mode), f"{where}: resident positions are {positions}")
    _require(len(set(slots)) == len(slots), f"{where}: a slot holds two rows: {slots}")
    expected = [_slot(position, mode) for position in positions]
    _require(slots == expected, f"{where}: slots are {slots}, expected {expected}")
    sink_tokens = mode.sink_tokens if isinstance(mode, Circular) else 0
    behind_sinks = [s for p, s in zip(positions, slots, strict=True) if p >= sink_tokens]
    head = behind_sinks[0] if behind_sinks else sink_tokens
    _require(state.head == head, f"{where}: the oldest row of the ring is in slot {head}")


def _check_storage(ring: RingBuffer, where: str) -> None:
    for name, array, dim in (
        ("keys", ring._keys, ring.head_dim),
        ("values", ring._values, ring.value_dim),
    ):
        shape = [ring.batch, ring.kv_heads, dim]
        shape.insert(ring.layout.index("S"), ring.capacity)
        _require(list(array.shape) == shape, f"{where}: {name} have shape {array.shape}")
        _require(array.dtype == ring.dtype, f"{where}: {name} have dtype {array.dtype}")
        _require(array.flags.c_contiguous, f"{where}: {name} are not contiguous")
    described = kernels.new_block(ring._keys, ring._values, ring.token_axis)
    where_rows_are = slice(kernels.TOKEN_AXIS, kernels.ADMITTED)
    same = ring._block[where_rows_are].tolist() == described[where_rows_are].tolist()
    _require(same, f"{where}: the kernels would write elsewhere than the views read")
    for shown in (ring.keys_shown, ring.values_shown):
        _require(not shown.flags.writeable, f"{where}: views would be writable")
    counters = ring.counters()
    _require(min(counters.values()) >= 0, f"{where}: negative counter in {counters}")
    _require(counters["rows_written"] <= counters["tokens_written"], f"{where}: {counters}")
    admitted = ring._block[kernels.ADMITTED]
    _require(0 <= admitted <= ring.capacity, f"{where}: {admitted} slots may be written")


def _positions(state: State, mode: Mode) -> list[int]:
    """The resident positions, oldest first: sinks that came, then an unbroken newest stretch."""
    sink_rows = min(state.seq_len, mode.sink_tokens) if isinstance(mode, Circular) else 0
    newest = state.length - sink_rows
    return [*range(sink_rows), *range(state.seq_len - newest, state.seq_len)]


def _slot(position: int, mode: Mode) -> int:
    """Laws 2 to 4."""
    if not isinstance(mode, Circular) or position < mode.sink_tokens:
        return position
    turn = mode.window + mode.rollback_tokens
    return mode.sink_tokens + (position - mode.sink_tokens) % turn


def _visible(position: int, mode: Mode) -> set[int]:
    """Laws 2 to 4."""
    if not isinstance(mode, Circular):
        return set(range(position + 1))
    window = set(range(max(0, position - mode.window + 1), position + 1))
    return window | set(range(min(mode.sink_tokens, position + 1)))
