"""Every invariant of a cache, stated from the laws and not from the code that keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import kernels
from .config import Circular, Mode
from .rows import State

if TYPE_CHECKING:
    from .facts import CacheFacts
    from .ring import RingBuffer

__all__ = ["check_cache"]


def check_cache(cache: CacheFacts) -> None:
    """Raise an AssertionError that names the layer, the invariant and the state that breaks it."""
    for layer, (ring, layer_config) in enumerate(
        zip(cache.rings, cache.config.layers, strict=True)
    ):
        where = f"layer {layer}, {layer_config.strategy}, {ring.state}"
        _check_state(ring.state, layer_config.strategy, where)
        _check_slots(cache, layer, where)
        _check_storage(ring, where)


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


def _check_slots(cache: CacheFacts, layer: int, where: str) -> None:
    mode = cache.config.layers[layer].strategy
    state = cache.rings[layer].state
    positions = cache.positions(layer).tolist()
    slots = cache.slots(layer).tolist()
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
    described = kernels.new_block(ring._keys, ring._values, ring.token_axis)[kernels.TOKEN_AXIS :]
    same = ring._block[kernels.TOKEN_AXIS :].tolist() == described.tolist()
    _require(same, f"{where}: the kernels would write elsewhere than the views read")
    for shown in (ring.keys_shown, ring.values_shown):
        _require(not shown.flags.writeable, f"{where}: views would be writable")
    counters = ring.counters()
    _require(min(counters.values()) >= 0, f"{where}: negative counter in {counters}")
    _require(counters["rows_written"] <= counters["tokens_written"], f"{where}: {counters}")


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
