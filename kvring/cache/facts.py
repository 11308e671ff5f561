"""What a cache says of itself: counters, sizes, statistics. Nothing here changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..checks import checked_layer
from ..config import CacheConfig
from ..errors import ShapeError
from ..rows import LayerState, State, per_batch_row, states_of
from ..text import counted, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ..config import Layout
    from ..ring import RingBuffer
    from ..strategy import Strategy

__all__ = ["CacheFacts", "Stats"]

Found = TypeVar("Found")


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
        """Tokens that every layer has seen, so during a step the position of its first token.

        Raises
        ------
        ShapeError
            If batch rows differ in that; `seq_lens` has them all.
        """
        first, *others = self._in_step()
        if any(other != first for other in others):
            raise ShapeError(f"seq_len: batch rows differ; use seq_lens, {self.seq_lens.tolist()}")
        return first

    @property
    def seq_lens(self) -> NDArray[np.int64]:
        """Tokens seen, int64 ``(layers, batch)``."""
        return np.array([[one.seq_len for one in of] for of in self._per_batch_row()], np.int64)

    @property
    def length(self) -> int:
        """Rows resident in every layer, in tokens: the smallest of `lengths`."""
        return min(one.length for state in self._states() for one in states_of(state))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows resident, in tokens, int64 ``(layers, batch)``."""
        return np.array([[one.length for one in of] for of in self._per_batch_row()], np.int64)

    @property
    def room(self) -> int | None:
        """The most tokens that one update of every layer takes now; None = any number."""
        rooms = self._at_one_moment(
            lambda: [s.least_room(self.rings[n].state) for n, s in enumerate(self._strategies)]
        )
        limits = [room for room in rooms if room is not None]
        return min(limits) if limits else None

    @property
    def nbytes(self) -> int:
        """Bytes reserved for K and V, and for what eviction policies remember of their rows.

        They are committed as rows are written, not before.
        """
        return self._at_one_moment(
            lambda: (
                sum(ring.nbytes for ring in self.rings)
                + sum(strategy.nbytes for strategy in self._strategies)
            )
        )

    @property
    def nbytes_used(self) -> int:
        """K and V bytes of the rows resident."""
        return sum(
            ring.batch_row_nbytes * sum(one.length for one in states)
            for ring, states in zip(self.rings, self._per_batch_row(), strict=True)
        )

    @property
    def stats(self) -> Stats:
        """What the cache has done since it was made; a copy of a cache starts from 0."""
        counters = [ring.counters() for ring in self.rings]

        def total(name: str) -> int:
            return sum(counter[name] for counter in counters)

        return Stats(
            tokens_written=total("tokens_written"),
            bytes_written=sum(
                c["rows_written"] * ring.batch_row_nbytes
                for c, ring in zip(counters, self.rings, strict=True)
            ),
            rows_evicted=total("rows_evicted"),
            rows_assembled=total("rows_assembled"),
            rows_gathered=total("rows_gathered"),
        )

    def positions(self, layer: int) -> NDArray[np.int64]:
        """Positions of all resident rows of a layer, int64 ``(rows,)``, oldest first.

        ``(batch, rows)`` where batch rows differ: newest last, -1 in front of those with fewer.

        Raises
        ------
        LayerError, DTypeError
            If there is no such layer, or `layer` is no int.
        """
        return self._residents(layer)[0]

    def slots(self, layer: int) -> NDArray[np.int64]:
        """Slots of all resident rows of a layer, int64 ``(rows,)``, oldest row first.

        ``(batch, rows)`` where batch rows differ, in the places of `positions`.

        Raises
        ------
        LayerError, DTypeError
            If there is no such layer, or `layer` is no int.
        """
        return self._residents(layer)[1]

    def _at_one_moment(self, look: Callable[[], Found]) -> Found:
        """What `look` finds, between two surgeries: each makes a new configuration."""
        while True:
            config = self.config
            try:
                found = look()
            except Exception:  # what was one shape at first and then another
                if self.config is config:
                    raise
                continue
            if self.config is config:
                return found

    def _states(self) -> list[LayerState]:
        return [ring.state for ring in self.rings]

    def _per_batch_row(self) -> list[tuple[State, ...]]:
        """Of each layer, the state of each batch row."""
        return self._at_one_moment(
            lambda: [per_batch_row(state, self.config.batch) for state in self._states()]
        )

    def _in_step(self) -> list[int]:
        """Of each batch row, how many tokens every layer has seen."""
        of_batch_rows = zip(*self._per_batch_row(), strict=True)
        return [min(one.seq_len for one in layers) for layers in of_batch_rows]

    def _residents(self, layer: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        number = checked_layer(layer, len(self.rings))
        return self._at_one_moment(
            lambda: self._strategies[number].residents_of(self.rings[number].state)
        )

    def __repr__(self) -> str:
        modes = list(dict.fromkeys(str(layer.strategy) for layer in self.config.layers))
        shapes = list(dict.fromkeys(ring.row_shape for ring in self.rings))
        ring = self.rings[0]
        seq_lens = list(dict.fromkeys(self._in_step()))
        seen = f"seq_len {seq_lens[0]}" if len(seq_lens) == 1 else f"seq_lens {self._in_step()}"
        return (
            f"<KVCache {' and '.join(modes)}: {counted(self.layers, 'layer')} of"
            f" {' and '.join(shapes)} {self.dtype}, batch {self.batch}, {self.layout};"
            f" {seen}; layer 0: {ring.used()};"
            f" {human_bytes(self.nbytes_used)} of {human_bytes(self.nbytes)}>"
        )
