"""Law 3: circular mode sees its sinks and a window, and keeps rollback rows behind it."""

import pytest

from kvring import Circular
from tests.by_hand import fed, feed, make, seen, shown

WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)


def test_the_worked_example_has_its_rows_in_these_slots():
    cache = fed(WORKED_EXAMPLE, 12)
    by_slot = dict(zip(cache.slots(0).tolist(), cache.positions(0).tolist(), strict=True))
    assert by_slot == {0: 0, 1: 7, 2: 8, 3: 9, 4: 10, 5: 11, 6: 6}
    assert cache.rings[0].head == 6
    assert shown(cache.read(0)) == [0, 8, 9, 10, 11]


def test_the_next_token_goes_to_the_head():
    cache = fed(WORKED_EXAMPLE, 12)
    feed(cache, 1)
    assert cache.slots(0)[-1] == 6
    assert cache.rings[0].head == 1


@pytest.mark.parametrize("window", range(1, 7))
@pytest.mark.parametrize("sink_tokens", range(4))
@pytest.mark.parametrize("rollback_tokens", range(3))
def test_each_token_sees_the_sinks_and_exactly_window_positions(
    window, sink_tokens, rollback_tokens
):
    cache = make(Circular(window, sink_tokens, rollback_tokens))
    for p in range(3 * cache.rings[0].capacity):
        recent = {q for q in range(p + 1) if q > p - window}
        expected = sorted(recent | {q for q in range(p + 1) if q < sink_tokens})
        assert shown(feed(cache, 1)) == expected
        assert seen(cache.read(0, order="physical")) == [expected]


def test_sinks_fill_as_tokens_come_and_a_prompt_may_be_shorter():
    cache = make(Circular(window=2, sink_tokens=3))
    assert shown(feed(cache, 2)) == [0, 1]
    assert cache.slots(0).tolist() == [0, 1]
    assert shown(feed(cache, 3)) == [0, 1, 2, 3, 4]
    assert shown(feed(cache, 1)) == [0, 1, 2, 4, 5]


def test_the_oldest_row_behind_the_sinks_gives_way():
    cache = fed(Circular(window=2, sink_tokens=1), 3)
    assert feed(cache, 1).evicted.tolist() == [1]
    assert feed(cache, 1).evicted.tolist() == [2]


def test_without_truncate_sinks_and_the_last_window_and_rollback_rows_are_resident():
    cache = fed(WORKED_EXAMPLE, 30)
    assert cache.positions(0).tolist() == [0, *range(24, 30)]
