"""What a cache says of itself: counters, sizes, statistics. Nothing here changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import checked_layer
from .config import CacheConfig
from .rows import Run, State
from .text import counted, human_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import Layout
    from .ring import RingBuffer
    from .strategy import Strategy

__all__ = ["CacheFacts", "Stats"]


@dataclass(frozen=True)
class Stats:
    """What a cache has done since it was made, summed over layers and batch rows.

    Parameters
    ----------
    tokens_written : int, tokens
        Tokens taken by updates, those included that were evicted in the same call.
    bytes_written : int, bytes
        K and V bytes that went into slots.
    rows_evicted : int, rows
        Rows that gave way to newer ones.
    rows_assembled : int, rows
        Rows copied for the views of chunks that overwrote what their early queries see.
    rows_gathered : int, rows
        Rows copied because `keys` or `values` of a view in several pieces was asked for.
        0 in a decode loop that takes physical order or segments.
    """

    tokens_written: int
    bytes_written: int
    rows_evicted: int
    rows_assembled: int
    rows_gathered: int


class CacheFacts:
    """The properties of :class:`kvring.KVCache`. Each costs at most a few us per layer, takes no
    lock, may be read from any thread, and tells what was true at a moment during the call."""

    config: CacheConfig
    rings: tuple[RingBuffer, ...]
    _strategies: tuple[Strategy, ...]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.rings)

    @property
    def batch(self) -> int:
        """Number of batch rows."""
        return self.config.batch

    @property
    def dtype(self) -> np.dtype[Any]:
        """Storage dtype of K and V."""
        return self.config.dtype

    @property
    def layout(self) -> Layout:
        """Axis order of inputs and views, "BSHD" or "BHSD"."""
        return self.config.layout

    @property
    def seq_len(self) -> int:
        """Tokens that every layer has seen, so during a step the position of its first token."""
        return min(state.seq_len for state in self._states())

    @property
    def seq_lens(self) -> NDArray[np.int64]:
        """Tokens seen, int64 ``(layers, batch)``."""
        return self._per_batch_row([state.seq_len for state in self._states()])

    @property
    def length(self) -> int:
        """Rows resident in every layer, in tokens: the smallest of `lengths`."""
        return min(state.length for state in self._states())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows resident, in tokens, int64 ``(layers, batch)``."""
        return self._per_batch_row([state.length for state in self._states()])

    @property
    def room(self) -> int | None:
        """The most tokens that one update of every layer takes now; None = any number."""
        rooms = [s.room(state) for s, state in zip(self._strategies, self._states(), strict=True)]
        limits = [room for room in rooms if room is not None]
        return min(limits) if limits else None

    @property
    def nbytes(self) -> int:
        """Bytes reserved for K and V; committed as rows are written, not before."""
        return sum(ring.nbytes for ring in self.rings)

    @property
    def nbytes_used(self) -> int:
        """K and V bytes of the rows resident."""
        states = self._states()
        return sum(r.row_nbytes * s.length for r, s in zip(self.rings, states, strict=True))

    @property
    def stats(self) -> Stats:
        """What the cache has done since it was made; a copy of a cache starts from 0."""
        counters = [ring.counters() for ring in self.rings]
        batch = self.config.batch

        def total(name: str) -> int:
            return sum(counter[name] for counter in counters)

        return Stats(
            tokens_written=total("tokens_written") * batch,
            bytes_written=sum(
                c["rows_written"] * ring.row_nbytes
                for c, ring in zip(counters, self.rings, strict=True)
            ),
            rows_evicted=total("rows_evicted") * batch,
            rows_assembled=total("rows_assembled") * batch,
            rows_gathered=total("rows_gathered"),
        )

    def positions(self, layer: int) -> NDArray[np.int64]:
        """Positions of all resident rows of a layer, int64 ``(rows,)``, oldest first.

        Raises
        ------
        LayerError, DTypeError
            If there is no such layer, or `layer` is no int.
        """
        return _flat((run.position, run.rows) for run in self._resident(layer))

    def slots(self, layer: int) -> NDArray[np.int64]:
        """Slots of all resident rows of a layer, int64 ``(rows,)``, oldest row first.

        Raises
        ------
        LayerError, DTypeError
            If there is no such layer, or `layer` is no int.
        """
        return _flat((run.slot, run.rows) for run in self._resident(layer))

    def _states(self) -> list[State]:
        return [ring.state for ring in self.rings]

    def _resident(self, layer: int) -> tuple[Run, ...]:
        number = checked_layer(layer, len(self.rings))
        return self._strategies[number].resident(self.rings[number].state)

    def _per_batch_row(self, per_layer: list[int]) -> NDArray[np.int64]:
        return np.repeat(np.array(per_layer, dtype=np.int64)[:, None], self.config.batch, axis=1)

    def __repr__(self) -> str:
        modes = list(dict.fromkeys(str(layer.strategy) for layer in self.config.layers))
        shapes = list(dict.fromkeys(ring.row_shape for ring in self.rings))
        ring = self.rings[0]
        return (
            f"<KVCache {' and '.join(modes)}: {counted(self.layers, 'layer')} of"
            f" {' and '.join(shapes)} {self.dtype}, batch {self.batch}, {self.layout};"
            f" seq_len {self.seq_len}; layer 0: {ring.length} of {ring.capacity} slots, head at"
            f" slot {ring.head};"
            f" {human_bytes(self.nbytes_used)} of {human_bytes(self.nbytes)}>"
        )


def _flat(spans: Any) -> NDArray[np.int64]:
    pieces = [np.arange(start, start + count, dtype=np.int64) for start, count in spans]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)
