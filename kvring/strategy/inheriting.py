"""How a layer with eviction takes over what another one knows: copies, surgery, resize."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Append
from ..policies.plans import Rest
from ..policies.residents import Origin, Residents
from ..policies.trackers import Guard, Tracker
from ..policies.victims import tracker_for
from ..rows import LayerState, Run, State
from .base import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plan import Move

__all__ = ["InheritingStrategy"]


class InheritingStrategy(Strategy):
    """The part of :class:`~kvring.strategy.EvictingStrategy` that concerns other layers' tables."""

    mode: Append
    batch: int
    table: Residents
    tracker: Tracker
    _entered: Any

    @abstractmethod
    def catch_up(self) -> Any:
        """Enter the last move, if it was carried out and is not entered yet; the last move."""

    def rest_as_in(
        self, other: Strategy, state: LayerState, shared: dict[LayerState, Move]
    ) -> Move:
        assert isinstance(other, InheritingStrategy)
        pins = other.catch_up().pins
        self.table.take_from(other.table)
        self.tracker.take_from(other.tracker)
        return self.rest_in(Rest(state, pins))

    def rest_in(self, rest: Rest) -> Rest:
        """Go on from a move after which the table and the tracker are as they are now."""
        self._entered = rest
        return rest

    def held(self, batch_row: int, state: State) -> tuple[Run, ...]:
        self.catch_up()
        live = self.table.live_slots(batch_row)
        return (Run(0, 0, int(live[-1]) + 1),) if len(live) else ()

    def rest_from(
        self,
        origins: Sequence[tuple[Strategy, int]],
        state: LayerState,
        shared: dict[LayerState, Move],
    ) -> tuple[Move, list[Callable[[], object]]]:
        sources, pins = [], []
        for strategy, batch_row in origins:
            assert isinstance(strategy, InheritingStrategy)
            pins.append(strategy.catch_up().pins[batch_row])
            live = strategy.table.live_slots(batch_row)
            sources.append(Origin(strategy.table, strategy.tracker, batch_row, live, live))
        return self._inheriting(sources, self.mode, Rest(state, tuple(pins)))

    def resized(
        self, mode: Append, state: LayerState
    ) -> tuple[Move, list[Callable[[], object]], list[Origin]]:
        """The move and the changes of `rest_from` for another capacity, and which slots move.

        Rows in slots that there are no longer move to the first free ones; there is room for all.
        Cost: that of the rows; how many slots there will be makes no difference.
        """
        rest = Rest(state, self.catch_up().pins)
        sources = []
        for batch_row in range(self.batch):
            live = self.table.live_slots(batch_row)
            to_slots = live.copy()
            homeless = live >= mode.capacity
            # As many slots as there are rows: for each row behind them one is free among them.
            free = np.setdiff1d(np.arange(len(live)), live)
            to_slots[homeless] = free[: np.count_nonzero(homeless)]
            sources.append(Origin(self.table, self.tracker, batch_row, live, to_slots))
        return *self._inheriting(sources, mode, rest), sources

    def _inheriting(
        self, sources: Sequence[Origin], mode: Append, rest: Rest
    ) -> tuple[Move, list[Callable[[], object]]]:
        """A new table and a new tracker in a new mode, made ready to take the old ones' place."""
        table = Residents(len(sources), mode.capacity)
        table.take_rows(sources)
        tracker = tracker_for(mode, table)
        tracker.take_rows(sources)
        changed = {
            "mode": mode,
            "capacity": mode.capacity,
            "batch": len(sources),
            "table": table,
            "tracker": tracker,
            "_guards": [Guard(self.sink_tokens, frozenset(), 0)] * len(sources),
            "_entered": rest,
        }
        return rest, [partial(dict.update, self.__dict__, changed)]

    def stored(self, state: LayerState) -> list[tuple[Run, ...]]:
        self.catch_up()
        return [(Run(0, 0, self.table.used_slots),)]
