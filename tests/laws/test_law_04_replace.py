"""Law 4: replace mode, where every update replaces the whole content."""

import pytest

from kvring import CapacityError, Replace, StaleViewError
from tests.by_hand import feed, make, rows, seen, settle, shown


def test_an_update_replaces_all_rows_and_sees_only_its_own():
    cache = make(Replace(4))
    cache.update(0, *rows(7, 10))
    view = cache.update(0, *rows(0, 2))
    settle(cache)
    assert shown(view) == [0, 1]
    assert seen(view) == [[0], [0, 1]]
    assert cache.seq_len == 2
    assert cache.slots(0).tolist() == [0, 1]


def test_more_rows_than_capacity_are_refused_and_the_old_ones_stay():
    cache = make(Replace(3))
    cache.update(0, *rows(0, 2))
    with pytest.raises(CapacityError, match="cannot hold 4 rows: the capacity is 3"):
        cache.update(0, *rows(0, 4))
    assert shown(cache.read(0)) == [0, 1]


def test_an_update_of_no_rows_empties_the_layer():
    cache = make(Replace(3))
    before = cache.update(0, *rows(0, 2))
    view = cache.update(0, *rows(0, 0))
    settle(cache)
    assert (cache.seq_len, cache.length) == (0, 0)
    assert shown(view) == []
    with pytest.raises(StaleViewError):
        before.keys  # noqa: B018


def test_truncate_works_as_in_append_mode():
    cache = make(Replace(3))
    cache.update(0, *rows(0, 3))
    cache.truncate(1)
    settle(cache)
    assert shown(cache.read(0)) == [0]


def test_replaced_rows_do_not_count_as_evicted():
    cache = make(Replace(3))
    cache.update(0, *rows(0, 3))
    assert cache.update(0, *rows(0, 3)).evicted.tolist() == []
    assert cache.stats.rows_evicted == 0


def test_one_token_updates_make_the_view_before_them_stale_even_when_nothing_looks_different():
    cache = make(Replace(3))
    first = cache.update(0, *rows(0, 1))
    cache.update(0, *rows(0, 1))
    with pytest.raises(StaleViewError):
        first.positions  # noqa: B018
    assert feed(cache, 0).mask().shape == (0, 0)
