"""Steps: one plan for all layers that share a mode, and the rows stored by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .plan import Move, Plan
from .rows import Order, State
from .view import KVView, make_view

if TYPE_CHECKING:
    from .ring import RingBuffer
    from .strategy import Strategy

__all__ = ["Steps", "write_rows"]


class Steps:
    """The step under way in all layers that share a mode: one plan serves them all.

    The first layer of a step has the plan made; the others find it here because their state *is*
    the one it was made for. Layers that were fed apart, or by two threads, have equal states that
    are not the same object, and come together again by taking the plan that is there.
    """

    __slots__ = ("look", "plan", "strategy")

    def __init__(self, strategy: Strategy, start: State) -> None:
        self.strategy = strategy
        self.look = strategy.look(start, 1)
        # Any plan will do to begin with, as long as no layer is ever in the state it starts from.
        self.plan = strategy.plan(start._replace(epoch=-1), 1)

    def plan_for(self, state: State, count: int) -> Plan:
        """The plan that brings `count` tokens to `state`; raises CapacityError if there is none."""
        plan = self.plan
        if plan.count != count or plan.before != state:
            plan = self.strategy.plan(state, count)
            self.plan = plan
        return plan

    def look_at(self, state: State) -> Plan:
        """The plan of no tokens through which ``read`` sees `state`."""
        look = self.look
        if look.after != state:
            look = self.strategy.look(state, 1)
            self.look = look
        return look


def write_rows(
    ring: RingBuffer, steps: Steps, keys: Any, values: Any, count: int, order: Order
) -> KVView:
    """Store checked rows under the layer's lock."""
    state = ring.state
    if count == 0:
        after = state
        if steps.strategy.replaces:
            after = steps.strategy.advance(state, 0)
            ring._settle(Move.at_rest(after))
        return make_view(ring, steps.strategy.look(after, 0), order)
    plan = steps.plan_for(state, count)
    pair = ring.assembled(plan, keys, values) if plan.assembled else None
    ring._write(plan, keys, values)
    return make_view(ring, plan, order, pair)
