"""The reference: what a caller says about who shall stay (touch, observe, pin, unpin, evict)."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import EvictedError, LayerError, PolicyError, PositionError, ShapeError
from .arguments import checked_index, checked_indexes
from .forgetting import Forgetting, Weights
from .sequence import TokenSequence

__all__ = ["ReferenceEviction"]


class ReferenceEviction:
    """The part of a :class:`~kvring.reference.ReferenceCache` that eviction policies hear of."""

    _sequences: list[list[TokenSequence]]

    def touch(self, layer: int, positions: Iterable[int]) -> None:
        """Rows of one layer were attended to.

        Raises
        ------
        DTypeError, LayerError, PolicyError, PositionError, EvictedError
            If an argument has the wrong type; there is no such layer; it has no eviction policy; a
            position was never written, or is gone, in any batch row. Nothing changes.
        """
        named = sorted(set(checked_indexes("positions", positions)))
        sequences = _evicting(self._batch_rows(layer))
        if not sequences:
            raise PolicyError(f"touch: layer {layer} has no eviction policy")
        _check_resident(sequences, named)
        for _, forgetting in sequences:
            forgetting.touched(named)

    def observe(self, layer: int, columns: list[list[int]], weights: list[Weights]) -> None:
        """What the queries of a view gave to its rows.

        Parameters
        ----------
        layer : int
        columns : list of list of int, positions
            For each batch row, which row each column of its weights belongs to; -1 for none.
        weights : list of list of list of list of float
            ``(batch, query_heads, queries, columns)``.

        Raises
        ------
        LayerError, PolicyError, ShapeError
            If there is no such layer; it has no eviction policy, or a weight is negative or NaN; a
            number of columns is not that of the positions. Nothing changes.
        """
        sequences = _evicting(self._batch_rows(layer))
        if not sequences:
            raise PolicyError(f"observe: layer {layer} has no eviction policy")
        for positions, of_batch_row in zip(columns, weights, strict=True):
            for query in (query for head in of_batch_row for query in head):
                if len(query) != len(positions):
                    raise ShapeError(f"weights: expected {len(positions)} columns, {len(query)}")
                if not all(0 <= weight < float("inf") for weight in query):
                    raise PolicyError(f"weights: expected numbers of at least 0, got {query}")
        for (_, forgetting), seen, given in zip(sequences, columns, weights, strict=True):
            forgetting.observed(seen, given)

    def pin(self, positions: Iterable[int]) -> None:
        """Keep rows, in all layers with a policy, until they are unpinned.

        Raises
        ------
        DTypeError, PolicyError, PositionError, EvictedError
            If a position is no integer; no layer has a policy; a position was never written, or is
            gone, in any of them. Nothing changes.
        """
        named = checked_indexes("positions", positions)
        for _, forgetting in self._check_known(named):
            forgetting.pinned |= set(named)

    def unpin(self, positions: Iterable[int]) -> None:
        """Let rows go again; errors as of `pin`."""
        named = checked_indexes("positions", positions)
        for _, forgetting in self._check_known(named):
            forgetting.pinned -= set(named)

    def evict(self, positions: Iterable[int]) -> None:
        """Drop rows by hand; errors as of `pin`, and a PolicyError for pinned rows and sinks."""
        named = sorted(set(checked_indexes("positions", positions)))
        evicting = self._check_known(named)
        for _, forgetting in evicting:
            for position in named:
                if forgetting.guarded(position):
                    raise PolicyError(f"evict: position {position} is pinned, or a sink")
        for sequence, forgetting in evicting if named else []:
            sequence.drop(named)
            forgetting.least_seq_len = sequence.seq_len

    def _check_known(self, positions: list[int]) -> list[tuple[TokenSequence, Forgetting]]:
        evicting = [pair for layer in self._sequences for pair in _evicting(layer)]
        if not evicting:
            raise PolicyError("expected a layer with an eviction policy, got none")
        _check_resident(evicting, positions)
        return evicting

    def _batch_rows(self, layer: int) -> list[TokenSequence]:
        number = checked_index("layer", layer)
        if not 0 <= number < len(self._sequences):
            raise LayerError(f"layer: expected 0 .. {len(self._sequences) - 1}, got {number}")
        return self._sequences[number]


def _evicting(sequences: list[TokenSequence]) -> list[tuple[TokenSequence, Forgetting]]:
    """Those that have a policy, each with what it remembers."""
    return [(one, one.forgetting) for one in sequences if one.forgetting is not None]


def _check_resident(evicting: list[tuple[TokenSequence, Forgetting]], positions: list[int]) -> None:
    for sequence, _ in evicting:
        for position in positions:
            if not 0 <= position < sequence.seq_len:
                raise PositionError(f"position {position}: expected 0 .. {sequence.seq_len - 1}")
    for sequence, _ in evicting:
        for position in positions:
            if position not in sequence.positions():
                raise EvictedError(f"position {position} is gone")
