"""Steps: one plan for all layers that share a mode, and the rows stored by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gathering import assembled_apart
from ..plan import Move, Plan
from ..ragged import RaggedPlan, TokenCounts
from ..rows import LayerState, Order, RaggedState, State, joined_state, per_batch_row
from ..storage import read_only
from ..strategy import Strategy, advanced, look_apart, strategy_for
from ..view import KVView, make_view

if TYPE_CHECKING:
    from ..config import Mode
    from ..ring import RingBuffer

__all__ = ["EvictingSteps", "Steps", "steps_for", "write_rows"]


class Steps:
    """The step under way in all layers that share a mode: one plan serves them all.

    The first layer of a step has the plan made; the others find it here because their state *is*
    the one it was made for. Layers that were fed apart, or by two threads, have equal states that
    are not the same object, and come together again by taking the plan that is there.
    """

    __slots__ = ("apart", "look", "plan", "strategy", "unlike")

    def __init__(self, strategy: Strategy, start: State) -> None:
        self.strategy = strategy
        self.look: Plan = strategy.look(start, 1)
        # Any plan will do to begin with, as long as no layer is ever in the state it starts from.
        self.plan = self._first_plan(start._replace(epoch=-1))
        self.apart: RaggedPlan | None = None
        # What the fast path gets for batch rows that differ: a plan that it does not carry out.
        self.unlike = strategy.look(start, 1)
        self.unlike.needs_care = True

    def _first_plan(self, state: State) -> Plan:
        return self.strategy.plan(state, 1)

    def quick_plan(self, state: LayerState) -> Plan:
        """The plan of one token, as the fast path wants it: before anything has been checked."""
        return self.plan_for(state, 1)

    def plan_for(self, state: LayerState, count: int) -> Plan:
        """The plan that brings `count` tokens to `state`; raises CapacityError if there is none.

        For batch rows that differ it is in no case one to be carried out: see `plan_apart`.
        """
        plan = self.plan
        if plan.count != count or plan.before != state:
            if isinstance(state, RaggedState):
                return self.unlike
            plan = self.strategy.plan(state, count)
            self.plan = plan
        return plan

    def plan_apart(self, state: LayerState, given: TokenCounts) -> RaggedPlan:
        """The plan that brings each batch row its own tokens; CapacityError if there is none."""
        plan = self.apart
        if plan is None or plan.given != given or plan.before != state:
            plan = self.strategy.plan_apart(state, given)
            self.apart = plan
        return plan

    def look_at(self, state: LayerState) -> Plan:
        """The plan of no tokens through which ``read`` sees `state`."""
        look = self.look
        if look.after != state:
            if isinstance(state, RaggedState):
                queries = TokenCounts((1,) * len(state.batch_rows), 1)
                look = look_apart(self.strategy, state, queries)
            else:
                look = self.strategy.look(state, 1)
            self.look = look
        return look


class EvictingSteps(Steps):
    """The steps of one layer with eviction, whose plans are its own and made anew each time."""

    __slots__ = ()

    def _first_plan(self, state: State) -> Plan:
        # Never a layer's plan: the policy may think otherwise by the time it is carried out.
        return self.strategy.look(state, 1)

    def quick_plan(self, state: LayerState) -> Plan:
        """None to be carried out where a policy of somebody's own is asked: once, all checked."""
        return self.unlike if self.strategy.asks_somebody else self.plan_for(state, 1)

    def plan_for(self, state: LayerState, count: int) -> Plan:
        """A new plan; raises CapacityError or PolicyError if there is none."""
        if isinstance(state, RaggedState):
            return self.unlike
        return self.strategy.plan(state, count)

    def plan_apart(self, state: LayerState, given: TokenCounts) -> RaggedPlan:
        """The same where batch rows go apart."""
        return self.strategy.plan_apart(state, given)


def steps_for(mode: Mode, batch: int, known: dict[Mode, Steps]) -> Steps:
    """The steps of a layer: shared by all of its mode, unless a policy chooses its rows."""
    if mode not in known:
        strategy = strategy_for(mode, batch)
        if strategy.evicts:
            return EvictingSteps(strategy, strategy.start())
        known[mode] = Steps(strategy, strategy.start())
    return known[mode]


def write_rows(
    ring: RingBuffer,
    steps: Steps,
    keys: Any,
    values: Any,
    count: int,
    order: Order,
    given: TokenCounts | None = None,
) -> KVView:
    """Store checked rows under the layer's lock; `given` if they are not all real."""
    if len(keys) != ring.batch:
        ring.checked(keys, values)  # refuses them: surgery came between check and lock
    state = ring.state
    if given is None and isinstance(state, RaggedState):
        given = TokenCounts((count,) * len(state.batch_rows), count)
    if given is not None:
        return _write_apart(ring, steps, keys, values, order, given)
    assert isinstance(state, State)
    if count == 0:
        after = state
        if steps.strategy.replaces:
            after = steps.strategy.advance(state, 0)
            ring._settle(Move.at_rest(after))
        return make_view(ring, steps.strategy.look(after, 0), order)
    plan = steps.plan_for(state, count)
    if not plan.assembled:
        ring._write(plan, keys, values)
        return make_view(ring, plan, order)
    pair = ring.new_pair(plan.assembled_count)
    shown = read_only(pair[0]), read_only(pair[1])  # what needs memory comes before the write
    ring._write(plan, keys, values, pair)
    return make_view(ring, plan, order, shown)


def _write_apart(
    ring: RingBuffer, steps: Steps, keys: Any, values: Any, order: Order, given: TokenCounts
) -> KVView:
    """The same where batch rows differ, or take different numbers of tokens."""
    state, strategy = ring.state, steps.strategy
    if not any(given.of_batch_rows):
        if strategy.replaces:
            befores = per_batch_row(state, len(given.of_batch_rows))
            state = joined_state(advanced(strategy, befores, given))
            ring._settle(Move.at_rest(state))
        return make_view(ring, look_apart(strategy, state, given), order)
    plan = steps.plan_apart(state, given)
    pair = assembled_apart(ring, plan, keys, values) if plan.assembled else None
    ring._write(plan, keys, values)
    return make_view(ring, plan, order, pair)
