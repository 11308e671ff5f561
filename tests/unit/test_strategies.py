"""Strategies: where rows go. Plain numbers, no arrays of keys: any plan can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import CapacityError, EvictedError
from kvring.plan import Plan
from kvring.rows import Order, Run, State
from kvring.strategy import (
    AppendStrategy,
    CircularStrategy,
    ReplaceStrategy,
    Strategy,
    strategy_for,
)
from tests.support import WORKED_EXAMPLE

WORKED = CircularStrategy(WORKED_EXAMPLE)  # window 4, 1 sink token, 2 rollback tokens: 7 slots


def state_after(strategy: Strategy, *chunks: int) -> State:
    """The state after updates of so many tokens each."""
    state = strategy.start()
    for count in chunks:
        state = strategy.plan(state, count).after
    return state


def shown(plan: Plan, order: Order = "temporal") -> list[int]:
    """Positions in the plan's view, row by row."""
    positions: list[int] = plan.rows(order).positions.tolist()
    return positions


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(Append(4), AppendStrategy), (Circular(4), CircularStrategy), (Replace(4), ReplaceStrategy)],
)
def test_each_mode_has_its_strategy(mode: Mode, kind: type[Strategy]) -> None:
    strategy = strategy_for(mode)
    assert type(strategy) is kind
    assert strategy.capacity == 4
    assert strategy.start() == State(seq_len=0, length=0, head=0, epoch=0)


# Append mode


def test_append_plan_puts_each_position_into_the_slot_of_its_number() -> None:
    strategy = AppendStrategy(Append(8))
    plan = strategy.plan(state_after(strategy, 2), 3)
    assert plan.slots.tolist() == [2, 3, 4]
    assert plan.after == State(seq_len=5, length=5, head=0, epoch=0)
    assert (plan.slot, plan.evicted_count, list(plan.evicted), plan.assembled) == (4, 0, [], False)
    assert shown(plan) == shown(plan, "physical") == [0, 1, 2, 3, 4]
    assert plan.queries == range(2, 5)


def test_append_plan_of_more_tokens_than_free_slots_is_refused() -> None:
    strategy = AppendStrategy(Append(4))
    state = state_after(strategy, 3)
    assert strategy.plan(state, 1).slots.tolist() == [3]
    with pytest.raises(CapacityError) as caught:
        strategy.plan(state, 2)
    assert str(caught.value) == (
        "cannot append 2 tokens: 3 of capacity 4 are taken, 1 free; truncate, reset, or use a"
        " larger capacity or Circular"
    )


def test_append_room_is_the_number_of_free_slots() -> None:
    strategy = AppendStrategy(Append(4))
    assert [strategy.room(state_after(strategy, n)) for n in (1, 3, 4)] == [3, 1, 0]
    assert strategy.room(strategy.start()) == 4


@pytest.mark.parametrize("strategy", [AppendStrategy(Append(4)), ReplaceStrategy(Replace(4))])
def test_append_and_replace_truncate_to_any_smaller_number(strategy: Strategy) -> None:
    state = state_after(strategy, 4)
    for seq_len in range(5):
        expected = State(seq_len, seq_len, head=0, epoch=9)
        assert strategy.truncate(state, seq_len, epoch=9) == expected
        assert strategy.resident(expected) == ((Run(0, 0, seq_len),) if seq_len else ())


# Circular mode: the worked example of the contract


def test_worked_example_after_twelve_tokens() -> None:
    state = state_after(WORKED, *[1] * 12)
    assert state == State(seq_len=12, length=7, head=6, epoch=0)
    assert WORKED.resident(state) == (Run(0, 0, 1), Run(6, 6, 1), Run(7, 1, 5))
    assert WORKED.plan(state, 1).slots.tolist() == [6]
    look = WORKED.look(state, 1)
    assert shown(look) == [0, 8, 9, 10, 11]
    assert shown(look, "physical") == [0, 7, 8, 9, 10, 11, 6]
    assert look.rows("physical").mask.tolist() == [[True, False, True, True, True, True, False]]


def test_worked_example_truncates_as_far_as_the_window_is_resident() -> None:
    state = state_after(WORKED, *[1] * 12)
    ten = WORKED.truncate(state, 10, epoch=1)
    assert ten == State(seq_len=10, length=5, head=6, epoch=1)
    assert shown(WORKED.look(ten, 1)) == [0, 6, 7, 8, 9]
    assert shown(WORKED.look(ten, 1), "physical") == [0, 7, 8, 9, -1, -1, 6]
    with pytest.raises(EvictedError) as caught:
        WORKED.truncate(state, 9, epoch=1)
    assert str(caught.value) == (
        "cannot truncate to 9: position 5 is gone (window 4, rollback_tokens 2); use"
        " rollback_tokens >= 3 or reset and refill"
    )
    assert WORKED.truncate(state, 1, epoch=1) == State(seq_len=1, length=1, head=1, epoch=1)
    assert WORKED.truncate(state, 0, epoch=1) == State(seq_len=0, length=0, head=1, epoch=1)


def test_worked_example_takes_a_chunk_of_three_without_assembling() -> None:
    plan = WORKED.plan(state_after(WORKED, *[1] * 12), 3)
    assert plan.slots.tolist() == [6, 1, 2]
    assert list(plan.evicted) == [6, 7, 8]
    assert (plan.assembled, plan.assembled_count) == (False, 0)
    assert shown(plan) == [0, *range(9, 15)]
    assert shown(plan, "physical") == [0, 13, 14, 9, 10, 11, 12]


def test_worked_example_assembles_the_view_of_a_chunk_of_five() -> None:
    plan = WORKED.plan(state_after(WORKED, *[1] * 12), 5)
    assert plan.slots.tolist() == [6, 1, 2, 3, 4]
    assert list(plan.evicted) == [6, 7, 8, 9, 10]
    assert plan.assembled
    assert plan.kept == (Run(0, 0, 1), Run(9, 3, 3))
    assert plan.assembled_count == 9
    assert shown(plan) == shown(plan, "physical") == [0, *range(9, 17)]


# Circular mode: the rest


def test_circular_room_is_unlimited() -> None:
    assert WORKED.room(WORKED.start()) is None
    assert WORKED.room(state_after(WORKED, 12)) is None


def test_circular_places_split_where_the_slots_wrap() -> None:
    assert WORKED.place(0, 7) == (Run(0, 0, 7),)
    assert WORKED.place(5, 9) == (Run(5, 5, 2), Run(7, 1, 2))
    assert WORKED.place(6, 20) == (Run(6, 6, 1), Run(7, 1, 6), Run(13, 1, 6), Run(19, 1, 1))
    assert WORKED.place(3, 3) == ()


def test_of_a_chunk_longer_than_the_ring_only_sinks_and_newest_rows_survive() -> None:
    plan = WORKED.plan(WORKED.start(), 10)
    assert WORKED.survivors(plan.after, 10) == (Run(0, 0, 1), Run(4, 4, 3), Run(7, 1, 3))
    assert plan.slots.tolist() == [0, -1, -1, -1, 4, 5, 6, 1, 2, 3]
    assert list(plan.evicted) == [1, 2, 3]
    assert plan.after == State(seq_len=10, length=7, head=4, epoch=0)
    assert shown(plan) == list(range(10))


def test_sinks_fill_as_tokens_come() -> None:
    strategy = CircularStrategy(Circular(window=2, sink_tokens=3))
    assert strategy.start() == State(seq_len=0, length=0, head=3, epoch=0)
    assert state_after(strategy, 2) == State(seq_len=2, length=2, head=3, epoch=0)
    assert strategy.plan(state_after(strategy, 2), 4).slots.tolist() == [2, -1, 4, 3]
    assert state_after(strategy, 2, 4) == State(seq_len=6, length=5, head=4, epoch=0)


def test_window_of_one_sees_itself_alone() -> None:
    strategy = CircularStrategy(Circular(window=1))
    plan = strategy.plan(state_after(strategy, 1), 1)
    assert (plan.slots.tolist(), list(plan.evicted), plan.assembled) == ([0], [0], False)
    assert shown(plan) == [1]


def test_circular_truncates_to_anything_before_the_first_eviction() -> None:
    state = state_after(WORKED, 7)
    lengths = [WORKED.truncate(state, n, epoch=1).length for n in range(8)]
    assert lengths == [0, 1, 2, 3, 4, 5, 6, 7]


def test_rollback_tokens_can_be_dropped_again_as_soon_as_they_are_refilled() -> None:
    state = state_after(WORKED, 12)
    for epoch in (1, 2):
        state = WORKED.truncate(state, 10, epoch)
        with pytest.raises(EvictedError, match=r"^cannot truncate to 9: position 5 is gone"):
            WORKED.truncate(state, 9, epoch)
        state = WORKED.plan(state, 2).after
        assert state == State(seq_len=12, length=7, head=6, epoch=epoch)


def test_the_way_out_of_a_refused_truncate_would_have_been_enough() -> None:
    with pytest.raises(EvictedError, match=r"use rollback_tokens >= 7 or reset and refill$"):
        WORKED.truncate(state_after(WORKED, *[1] * 12), 5, epoch=1)
    wider = CircularStrategy(Circular(window=4, sink_tokens=1, rollback_tokens=7))
    wider.truncate(state_after(wider, *[1] * 12), 5, epoch=1)
    narrow = CircularStrategy(Circular(window=4, sink_tokens=1, rollback_tokens=6))
    with pytest.raises(EvictedError):
        narrow.truncate(state_after(narrow, *[1] * 12), 5, epoch=1)


def test_physical_rows_stop_at_the_highest_slot_in_use() -> None:
    partly = WORKED.look(state_after(WORKED, 3), 1)
    assert shown(partly, "physical") == [0, 1, 2]
    state = WORKED.truncate(
        state_after(WORKED, 14), 12, epoch=1
    )  # 0 and 8..11 stay, in slots 0, 2..5
    assert shown(WORKED.look(state, 1), "physical") == [0, -1, 8, 9, 10, 11]


# Replace mode


def test_replace_plan_starts_again_at_slot_and_position_zero() -> None:
    strategy = ReplaceStrategy(Replace(4))
    plan = strategy.plan(state_after(strategy, 3), 2)
    assert plan.slots.tolist() == [0, 1]
    assert plan.after == State(seq_len=2, length=2, head=0, epoch=2)
    assert (list(plan.evicted), plan.assembled, shown(plan)) == ([], False, [0, 1])


def test_replace_room_is_its_capacity_however_full_it_is() -> None:
    strategy = ReplaceStrategy(Replace(4))
    assert strategy.room(strategy.start()) == strategy.room(state_after(strategy, 4)) == 4
    with pytest.raises(CapacityError) as caught:
        strategy.plan(state_after(strategy, 2), 5)
    assert str(caught.value) == (
        "cannot hold 5 rows: the capacity is 4; bring fewer rows or use a larger capacity"
    )


# Any state, against a twin that walks from slot to slot


def slots_of_newest(mode: Circular, seq_len: int) -> dict[int, int]:
    """Slot of every resident position, found by walking: no formula, no modulo."""
    position_in: dict[int, int] = {}
    slot = 0
    for position in range(seq_len):
        position_in[slot] = position
        slot = slot + 1 if slot + 1 < mode.capacity else mode.sink_tokens
    return {position: slot for slot, position in position_in.items()}


circulars = st.builds(
    Circular, st.integers(1, 5), sink_tokens=st.integers(0, 3), rollback_tokens=st.integers(0, 3)
)


@settings(max_examples=200, deadline=None, database=None)
@given(circulars, st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_slots_in_any_state_are_those_of_the_twin(mode: Circular, chunks: list[int]) -> None:
    strategy = CircularStrategy(mode)
    state = state_after(strategy, *chunks[:-1])
    plan = strategy.plan(state, chunks[-1])
    twin = slots_of_newest(mode, sum(chunks))
    new = range(sum(chunks[:-1]), sum(chunks))
    slots = plan.slots.tolist()
    assert slots == [twin.get(position, -1) for position in new]
    written = [slot for slot in slots if slot >= 0]
    assert len(set(written)) == len(written)
    assert all(0 <= slot < mode.capacity for slot in written)
    gone = set(slots_of_newest(mode, new.start)) | set(new)
    assert set(plan.evicted) == gone - set(twin)
    assert {
        run.position + i: run.slot + i
        for run in strategy.resident(plan.after)
        for i in range(run.rows)
    } == twin
    assert plan.slot == twin[new.stop - 1]


@settings(max_examples=200, deadline=None, database=None)
@given(circulars, st.lists(st.integers(1, 12), min_size=1, max_size=4), st.data())
def test_truncate_in_any_state_drops_the_newest_rows_and_no_others(
    mode: Circular, chunks: list[int], data: st.DataObject
) -> None:
    strategy = CircularStrategy(mode)
    state = state_after(strategy, *chunks)
    seq_len = data.draw(st.integers(0, sum(chunks)))
    resident = slots_of_newest(mode, sum(chunks))
    window = range(max(0, seq_len - mode.window), seq_len)
    needed = {*window, *range(min(mode.sink_tokens, seq_len))}
    if not needed <= set(resident):
        with pytest.raises(EvictedError):
            strategy.truncate(state, seq_len, epoch=1)
        return
    runs = strategy.resident(strategy.truncate(state, seq_len, epoch=1))
    kept = {run.position + i: run.slot + i for run in runs for i in range(run.rows)}
    assert kept == {position: slot for position, slot in resident.items() if position < seq_len}
