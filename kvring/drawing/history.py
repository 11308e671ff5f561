"""A layer after each step: slots from the strategies, what is seen from the reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from ..config import CacheConfig, Circular, Mode
from ..errors import ConfigError, KVRingError
from ..plan import Move
from ..policies.plans import EvictingPlan, Rest
from ..reference import ReferenceCache
from ..rows import State
from ..strategy import EvictingStrategy, strategy_for
from .steps import Step, StepLike, mode_of, step_of

__all__ = ["Moment", "moments"]

# The reference looks at every row for every token: this many take a few seconds.
MOST_LOOKS = 5_000_000


@dataclass(frozen=True)
class Moment:
    """A layer after one step.

    Parameters
    ----------
    mode : Append, Circular or Replace
    step : Step or None
        What has happened; None before the first step.
    refusal : str
        Why the step was refused, and everything is as before; empty if it was not.
    seq_len : int, tokens
    slots : tuple of int, positions
        The position in each slot of the layer, -1 for none.
    visible : tuple of int, positions
        What the step's queries see, all of them together, oldest first; after other steps than
        updates, what the newest token sees.
    newest_sees : tuple of int, positions
        What the newest token sees by itself.
    written : tuple of int, positions
        New tokens that this step has stored in slots.
    evicted, dropped : tuple of int, positions
        What gave way in this step, tokens of its own that were never stored among them; and what
        the step itself took back.
    pinned : tuple of int, positions
        Rows that are not to give way, sinks aside.
    next_out : int or None, position
        Which row gives way to the next token, if one does.
    """

    mode: Mode
    step: Step | None
    refusal: str
    seq_len: int
    slots: tuple[int, ...]
    visible: tuple[int, ...]
    newest_sees: tuple[int, ...]
    written: tuple[int, ...] = ()
    evicted: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    pinned: tuple[int, ...] = ()
    next_out: int | None = None

    @property
    def resident(self) -> tuple[int, ...]:
        """Positions that have a slot, oldest first."""
        return tuple(sorted(position for position in self.slots if position >= 0))

    @property
    def assembled(self) -> tuple[int, ...]:
        """Positions that are visible and have no slot any more: a view of them is assembled."""
        return tuple(position for position in self.visible if position not in self.slots)

    @property
    def sink_tokens(self) -> int:
        """First positions that never give way."""
        return getattr(self.mode, "sink_tokens", 0)

    @property
    def head(self) -> int | None:
        """Slot of the oldest row behind the sinks; None when there is none."""
        ring = [position for position in self.resident if position >= self.sink_tokens]
        return self.slots.index(ring[0]) if ring else None

    @property
    def newest(self) -> int | None:
        """Slot of the newest row; None in an empty layer."""
        return self.slots.index(self.resident[-1]) if self.resident else None


def moments(mode: Mode | str, steps: Iterable[StepLike]) -> list[Moment]:
    """The layer before the first step and after each of them.

    Parameters
    ----------
    mode : Append, Circular, Replace or str
    steps : list of int, str or Step
        Numbers of tokens, or texts: see :mod:`kvring.drawing`.

    Returns
    -------
    list of Moment
        One more than there are steps. A step that the contract refuses is a moment like any other,
        with its `refusal`.

    Raises
    ------
    ConfigError
        If there is no such mode or step, or more slots or tokens than can be drawn.

    Examples
    --------
    >>> for moment in moments("circular(window=4, sink_tokens=1, rollback_tokens=2)", [12, 3]):
    ...     print(moment.slots, moment.visible)
    (-1, -1, -1, -1, -1, -1, -1) ()
    (0, 7, 8, 9, 10, 11, 6) (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    (0, 13, 14, 9, 10, 11, 12) (0, 9, 10, 11, 12, 13, 14)
    """
    found, taken = mode_of(mode), [step_of(step) for step in steps]
    tokens = sum(step.numbers[0] for step in taken if step.verb == "update")
    if max(found.capacity, min(found.capacity, tokens) * tokens) > MOST_LOOKS:
        most = max(MOST_LOOKS // found.capacity, isqrt(MOST_LOOKS))
        limit = f"{most:,} tokens" if found.capacity <= MOST_LOOKS else f"{MOST_LOOKS:,} slots"
        raise ConfigError(
            f"{tokens:,} tokens in a layer of {found.capacity:,} slots are too many to draw,"
            f" expected at most {limit}; the same happens with smaller numbers, such as 9 tokens in"
            f" 7 slots"
        )
    layer = _Layer(found)
    return [layer.moment(), *map(layer.after, taken)]


class _Layer:
    """One layer without rows: a strategy and its state, beside the reference."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.reference = ReferenceCache(
            CacheConfig.build(layers=1, kv_heads=1, head_dim=1, strategy=mode)
        )
        self.strategy = strategy_for(mode)
        self.state = self.strategy.start()
        self.move: Any = None
        if isinstance(self.strategy, EvictingStrategy):
            # What a ring does otherwise; all that is published here has been carried out.
            self.move = self.strategy.follow(lambda: (self.move, self.state))

    def moment(self, **changed: Any) -> Moment:
        """As things stand."""
        seen = tuple(self.reference.read(0).positions)
        as_it_is: dict[str, Any] = {
            "mode": self.mode,
            "step": None,
            "refusal": "",
            "seq_len": self.state.seq_len,
            "slots": self._slots(),
            "visible": seen,
            "newest_sees": seen,
            "pinned": self._pinned(),
            "next_out": self._next_out(),
        }
        return Moment(**as_it_is | changed)

    def after(self, step: Step) -> Moment:
        """What there is when the step is done, or was refused."""
        before = self.reference.positions(0)
        try:
            changed = getattr(self, f"_{step.verb}")(*self._given(step))
        except KVRingError as error:
            return self.moment(step=step, refusal=str(error))
        if step.verb in ("truncate", "reset"):
            changed["dropped"] = tuple(p for p in before if p >= self.state.seq_len)
        return self.moment(step=step, **changed)

    def _given(self, step: Step) -> tuple[Any, ...]:
        one = step.verb in ("update", "truncate", "reset")
        return step.numbers if one else (step.verb, sorted(set(step.numbers)))

    def _update(self, tokens: int) -> dict[str, Any]:
        if not tokens and not self.strategy.replaces:
            return {"visible": ()}
        move: Any = Move.at_rest(self.strategy.start(self.state.epoch + 1))
        if tokens:
            move = self.strategy.plan(self.state, tokens)
        seen = self.reference.update(0, [None] * tokens)
        self.move, self.state = move, move.after
        written = range(self.state.seq_len - tokens, self.state.seq_len)
        return {
            "visible": tuple(seen.positions),
            "evicted": tuple(seen.evicted),
            "written": tuple(sorted(set(written) & set(self._slots()))),
        }

    def _truncate(self, seq_len: int) -> dict[str, Any]:
        state = self.state
        if seq_len <= state.seq_len:
            # Asked first, because its refusals say the way out.
            state = self.strategy.truncate(state, seq_len, state.epoch + 1)
        self.reference.truncate(seq_len)
        self.move, self.state = self.strategy.rest(state, {}), state
        return {}

    def _reset(self) -> dict[str, Any]:
        return self._truncate(0)

    def _touch(self, verb: str, positions: list[int]) -> dict[str, Any]:
        self.reference.touch(0, positions)
        strategy = self._evicting()
        named = np.array(positions, dtype=np.int64)
        strategy.tracker.touched(named, strategy.table.slots_of(named))
        return {}

    def _pin(self, verb: str, positions: list[int]) -> dict[str, Any]:
        getattr(self.reference, verb)(positions)
        strategy = self._evicting()
        mine = frozenset(p for p in positions if p >= strategy.sink_tokens)
        (pins,) = self.move.pins
        self.move = Rest(self.state, (pins | mine if verb == "pin" else pins - mine,))
        return {}

    _unpin = _pin

    def _evict(self, verb: str, positions: list[int]) -> dict[str, Any]:
        self.reference.evict(positions)
        self._evicting()
        seq_len, length, _, epoch, _ = self.state
        self.state = State(seq_len, length - len(positions), 0, epoch + 1, seq_len)
        self.move = Rest(self.state, self.move.pins, np.array(positions, dtype=np.int64))
        return {"evicted": tuple(positions)}

    def _evicting(self) -> EvictingStrategy:
        """The strategy of a layer with a policy, which the reference has just made sure of."""
        assert isinstance(self.strategy, EvictingStrategy)
        self.strategy.catch_up()
        return self.strategy

    def _slots(self) -> tuple[int, ...]:
        if isinstance(self.strategy, EvictingStrategy):
            self.strategy.catch_up()
        held = [-1] * self.strategy.capacity
        for position, slot in zip(*self.strategy.residents_of(self.state), strict=True):
            if position >= 0:
                held[int(slot)] = int(position)
        return tuple(held)

    def _pinned(self) -> tuple[int, ...]:
        if not isinstance(self.move, Rest | EvictingPlan):
            return ()
        (pins,) = self.move.pins
        return tuple(sorted(pins))

    def _next_out(self) -> int | None:
        sequence = self.reference.sequence(0)
        if isinstance(self.mode, Circular):
            stay = (sequence.stays(p, self.state.seq_len) for p in sequence.positions())
            going = [p for p, stays in zip(sequence.positions(), stay, strict=True) if not stays]
            return going[0] if going else None
        room = sequence.room()
        going = sequence.victims(1) if room is None or room >= 1 else []
        return going[0] if going else None
