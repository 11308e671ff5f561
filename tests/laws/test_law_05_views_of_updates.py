"""Law 5: an update returns what the queries of its own tokens need, and cutting changes nothing."""

import numpy as np
import pytest

from kvring import Append, Circular
from tests.by_hand import fed, feed, make, seen, shown

WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)


def test_a_chunk_shows_the_sinks_and_window_minus_one_plus_chunk_rows():
    view = feed(fed(WORKED_EXAMPLE, 12), 3)
    assert shown(view) == [0, 9, 10, 11, 12, 13, 14]


def test_a_chunk_of_rollback_plus_one_tokens_is_zero_copy_on_a_full_ring():
    cache = fed(WORKED_EXAMPLE, 12)
    view = feed(cache, 3)
    assert all(np.shares_memory(keys, cache.rings[0].keys_shown) for keys, _ in view.segments)
    assert cache.stats.rows_assembled == 0


def test_a_longer_chunk_is_assembled_before_the_rows_its_early_queries_need_go():
    cache = fed(WORKED_EXAMPLE, 12)
    view = feed(cache, 5)
    assert shown(view) == [0, *range(9, 17)]
    assert not np.shares_memory(view.keys, cache.rings[0].keys_shown)
    assert cache.stats.rows_assembled == 9
    assert cache.positions(0).tolist() == [0, *range(11, 17)]


def test_each_query_of_a_chunk_has_its_own_window():
    view = feed(fed(WORKED_EXAMPLE, 12), 5)
    assert seen(view) == [[0, *range(p - 3, p + 1)] for p in range(12, 17)]


def test_only_rows_that_survive_the_call_are_written():
    cache = make(WORKED_EXAMPLE)
    feed(cache, 40)
    assert cache.stats.tokens_written == 40
    assert cache.stats.bytes_written == 7 * 8  # one sink and six ring rows of two float32


@pytest.mark.parametrize("prompt", [1, 5, 12, 40])
def test_a_prompt_longer_than_the_ring_shows_every_query_its_window(prompt):
    view = feed(make(WORKED_EXAMPLE), prompt)
    assert seen(view) == [
        sorted({q for q in range(p + 1) if q == 0 or q > p - 4}) for p in range(prompt)
    ]


@pytest.mark.parametrize("mode", [Append(24), Circular(3), Circular(2, 2), WORKED_EXAMPLE], ids=str)
def test_cutting_tokens_into_other_chunks_never_changes_what_a_query_sees(mode):
    random = np.random.default_rng(5)
    one_by_one = make(mode)
    expected = [seen(feed(one_by_one, 1))[0] for _ in range(24)]
    for _ in range(20):
        cache, got = make(mode), []
        while len(got) < 24:
            got += seen(feed(cache, int(random.integers(1, 25 - len(got)))))
        assert got == expected


def test_a_read_view_has_one_query_the_newest_token():
    cache = fed(WORKED_EXAMPLE, 12)
    view = cache.read(0)
    assert shown(view) == [0, 8, 9, 10, 11]
    assert view.mask().tolist() == [[True] * 5]


@pytest.mark.parametrize("mode", [Append(4), WORKED_EXAMPLE], ids=str)
@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_the_mask_of_an_empty_read_is_one_by_zero(mode, order):
    assert make(mode).read(0, order=order).mask().shape == (1, 0)
