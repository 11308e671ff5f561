"""What a caller of a cache says about who shall stay: touch, observe, pin, unpin, evict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import checked_layer, checked_tokens, is_list
from ..errors import DTypeError, EvictedError, LayerError, PolicyError, PositionError
from ..plan import Move
from ..policies.plans import Rest
from ..policies.trackers import Observed
from ..policies.weigh import checked_weights, weighed
from ..rows import LayerState, State, joined_state, states_of
from ..strategy import EvictingStrategy
from ..view import KVView
from .whole import WholeCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..spans import Asked

__all__ = ["ForgettingCache"]


class ForgettingCache(WholeCache):
    """The verbs of :class:`kvring.KVCache` that eviction policies hear of."""

    def touch(self, layer: int, positions: Iterable[int]) -> None:
        """Tell a layer's policy that rows were attended to; LRU counts them as used.

        Parameters
        ----------
        layer : int
        positions : list of int
            Resident in every batch row. Once is as good as twice.

        Raises
        ------
        LayerError, DTypeError
            If there is no such layer, or an argument has the wrong type. Nothing changes.
        PolicyError
            If the layer has no eviction policy. Likewise.
        PositionError, EvictedError
            If a position was never written, or is gone. Likewise.

        Notes
        -----
        Views stay as they are. Cost: one pass over the layer's positions. Threads: any.
        """
        number = checked_layer(layer, len(self.rings))
        strategy = self._forgetting(number, "touch")
        named = _checked_positions(positions)
        ring = self.rings[number]
        with ring.lock:
            strategy.catch_up()
            slots = _resident_slots(named, [(number, strategy, ring.state)])[0]
            if len(named):
                strategy.tracker.touched(np.array(named, dtype=np.int64), slots)

    def observe(self, view: KVView, weights: NDArray[Any]) -> None:
        """Tell a layer's policy what the queries of a view gave to its rows.

        Parameters
        ----------
        view : KVView
            What `update` or `read` of this cache has returned.
        weights : float array ``(batch, query_heads, queries, rows)``
            Attention weights, after the softmax; columns are the rows of the view, in its order.
            float16 and bfloat16 are widened first; those of padding count as 0.

        Raises
        ------
        StaleViewError
            If the layer has changed since the view was made. Nothing changes.
        ShapeError, DTypeError, LayerError
            If the weights are not such an array; the view is a copy, or of another cache. Likewise.
        PolicyError
            If a weight is negative or NaN, or the layer has no eviction policy. Likewise.

        Notes
        -----
        Views stay as they are. Cost: one pass over the weights, without the interpreter's lock
        where they are large. Threads: any.
        """
        if not isinstance(view, KVView):
            raise DTypeError(f"view: expected a KVView, got {type(view).__name__}")
        ring = getattr(view, "_ring", None)
        if ring is None or ring._place >= len(self.rings) or self.rings[ring._place] is not ring:
            raise LayerError("view: expected what update or read of this cache returned, no copy")
        strategy = self._forgetting(ring._place, "observe")
        rows = view._rows()
        given = checked_weights(
            weights,
            batch=self.batch,
            kv_heads=ring.kv_heads,
            queries=rows.query_count,
            rows=rows.count,
        )
        given = _without_padding(given, rows.asked)
        by_row = weighed(given, strategy.tracker.way)
        with ring.lock:
            view._check_fresh()
            strategy.catch_up()
            if given.size:
                positions, slots, in_slots = strategy.columns(rows)
                seen = Observed(positions, slots, given, by_row, in_slots)
                strategy.tracker.observed(seen)

    def pin(self, positions: Iterable[int]) -> None:
        """Keep rows, in all layers that have an eviction policy, until `unpin`, truncate or reset.

        Parameters
        ----------
        positions : list of int
            Resident in every batch row of these layers. Sinks are pinned anyway.

        Raises
        ------
        PolicyError
            If no layer has an eviction policy. Nothing changes.
        DTypeError, PositionError, EvictedError
            If a position is no int, was never written, or is gone. Nothing changes.

        Notes
        -----
        Views stay as they are. Cost: one pass over the positions of every layer; the next eviction
        costs another. Threads: all layers change at once.
        """
        named = _checked_positions(positions)
        self._holding_all_locks(lambda: self._change_pins(named, keep=True))

    def unpin(self, positions: Iterable[int]) -> None:
        """Let pinned rows go again; those that were not pinned stay as they are.

        Errors, cost and threads as of `pin`.
        """
        named = _checked_positions(positions)
        self._holding_all_locks(lambda: self._change_pins(named, keep=False))

    def evict(self, positions: Iterable[int]) -> None:
        """Drop rows by hand, in all layers that have an eviction policy; their slots are reused.

        Parameters
        ----------
        positions : list of int
            Resident in every batch row of these layers, and neither pinned nor sinks.

        Raises
        ------
        PolicyError
            If no layer has an eviction policy, or a position is pinned or a sink. Nothing changes.
        DTypeError, PositionError, EvictedError
            If a position is no int, was never written, or is gone. Nothing changes.

        Notes
        -----
        Like an evicting update: truncate goes back to the present seq_len, or to 0. Views of these
        layers are stale afterwards, unless there was nothing to drop. Cost: some passes over the
        positions of every layer; no bytes move. Threads: all layers change at once.
        """
        named = _checked_positions(positions)
        self._change_all(lambda: self._evict(named))

    def _change_pins(self, named: list[int], *, keep: bool) -> None:
        evicting, _ = self._check_all(named)
        ledger = list(self._ledger)
        for number, strategy, state in evicting:
            mine = frozenset(p for p in named if p >= strategy.sink_tokens)
            pins = strategy.catch_up().pins
            ledger[number] = Rest(state, tuple(of | mine if keep else of - mine for of in pins))
        self._ledger[:] = ledger

    def _evict(self, named: list[int]) -> None:
        evicting, _ = self._check_all(named)
        ledger: list[Move] = list(self._ledger)
        epoch = 1 + max(state.epoch for state in self._states())
        dropped = np.array(named, dtype=np.int64)
        for number, strategy, state in evicting:
            pins = strategy.catch_up().pins
            for position in named:
                if position < strategy.sink_tokens or any(position in of for of in pins):
                    raise PolicyError(
                        f"evict: position {position} is pinned in layer {number}, or a sink;"
                        f" unpin it first"
                    )
            left = [
                State(of.seq_len, of.length - len(named), 0, epoch, of.seq_len)
                for of in states_of(state)
            ]
            ledger[number] = Rest(joined_state(left), pins, dropped)
        if named:
            self._ledger[:] = ledger

    def _check_all(
        self, named: list[int]
    ) -> tuple[list[tuple[int, EvictingStrategy, LayerState]], list[NDArray[np.int64]]]:
        """Every layer with a policy, brought up to date, and the slots of the positions there."""
        evicting = [
            (number, strategy, ring.state)
            for number, (strategy, ring) in enumerate(
                zip(self._strategies, self.rings, strict=True)
            )
            if isinstance(strategy, EvictingStrategy)
        ]
        if not evicting:
            raise PolicyError(
                "expected a layer with an eviction policy, got none; use Append(capacity,"
                " eviction=...)"
            )
        for _, strategy, _ in evicting:
            strategy.catch_up()
        return evicting, _resident_slots(named, evicting)

    def _forgetting(self, layer: int, verb: str) -> EvictingStrategy:
        strategy = self._strategies[layer]
        if not isinstance(strategy, EvictingStrategy):
            raise PolicyError(
                f"{verb}: layer {layer} has no eviction policy; use Append(capacity, eviction=...)"
            )
        return strategy

    def _follow_rings(self) -> None:
        """Let every strategy that has a table of its own follow what its ring does."""
        for number, (strategy, ring) in enumerate(zip(self._strategies, self.rings, strict=True)):
            if isinstance(strategy, EvictingStrategy):
                self._ledger[number] = strategy.follow(ring._standing)
                ring._apart = self.batch > 1


def _checked_positions(positions: Iterable[int]) -> list[int]:
    """Positions as plain ints, ascending, none twice."""
    if not is_list(positions):
        raise DTypeError(f"positions: expected a list of int, got {positions!r}")
    return sorted({checked_tokens("positions", position) for position in positions})


def _resident_slots(
    named: list[int], evicting: list[tuple[int, EvictingStrategy, LayerState]]
) -> list[NDArray[np.int64]]:
    """Slots of positions, int64 ``(batch, positions)`` for each layer, if all are resident."""
    for number, _, state in evicting:
        seq_len = min(of.seq_len for of in states_of(state))
        if named and not 0 <= named[0] <= named[-1] < seq_len:
            wrong = next(p for p in named if not 0 <= p < seq_len)
            raise PositionError(
                f"position {wrong} was never written: expected 0 to {seq_len - 1}, the last"
                f" one of layer {number}"
            )
    wanted = np.array(named, dtype=np.int64)
    found = [strategy.table.slots_of(wanted) for _, strategy, _ in evicting]
    for (number, _, _), slots in zip(evicting, found, strict=True):
        for batch_row, at in np.argwhere(slots < 0):
            raise EvictedError(
                f"position {named[at]} is gone in layer {number}, batch row {batch_row}; see"
                f" cache.positions({number})"
            )
    return found


def _without_padding(weights: NDArray[Any], asked: Sequence[Asked]) -> NDArray[Any]:
    """The weights of real queries, and 0 for tokens that are padding."""
    if all(of.stop_token - of.first_token == weights.shape[2] for of in asked):
        return weights
    real = np.zeros_like(weights)
    for kept, given, (_, first, stop) in zip(real, weights, asked, strict=True):
        kept[:, first:stop] = given[:, first:stop]
    return real
