"""Law 6: the ``seq_len=`` form says what the total shall be."""

import pytest

from kvring import Append, Circular, PositionError, Replace, ShapeError
from tests.by_hand import fed, make, rows, seen, settle, shown


def total(cache, seq_len, given, *, layer=0):
    """Update with rows `given` = (start, stop), saying that the total shall be `seq_len`."""
    view = cache.update(layer, *rows(*given), seq_len=seq_len)
    settle(cache)
    return view


@pytest.mark.parametrize("mode", [Append(9), Circular(4, 1, 2)], ids=str)
def test_full_history_writes_only_its_new_rows(mode):
    cache = fed(mode, 3)
    view = total(cache, 5, (0, 5))
    assert shown(view)[-2:] == [3, 4]
    assert len(seen(view)) == 2
    assert cache.stats.tokens_written == 5


def test_new_rows_alone_are_taken_as_such():
    cache = fed(Append(9), 3)
    assert shown(total(cache, 5, (3, 5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("given", [(0, 0), (0, 3)])
def test_a_total_that_is_reached_already_changes_nothing_and_reads(given):
    cache = fed(Append(9), 3)
    before = cache.read(0)
    assert shown(total(cache, 3, given)) == [0, 1, 2]
    assert shown(before) == [0, 1, 2], "not stale: nothing has changed"


def test_a_smaller_total_without_rows_truncates_all_layers_once():
    cache = fed(Append(9), 5, layers=2)
    assert shown(total(cache, 2, (0, 0), layer=0)) == [0, 1]
    assert cache.seq_lens.tolist() == [[2], [2]]
    assert shown(total(cache, 2, (0, 0), layer=1)) == [0, 1]


@pytest.mark.parametrize(
    ("seq_len", "given", "message"),
    [
        (1, (0, 1), "seq_len=1 would drop 5 of 6 tokens; it is the total, not the chunk"),
        (6, (0, 2), r"seq_len=6 after 6 tokens: expected 0 or 6 rows .*, got 2"),
        (8, (0, 3), r"seq_len=8 after 6 tokens: expected 2 or 8 rows .*, got 3"),
        (8, (0, 0), r"seq_len=8 after 6 tokens: expected 2 or 8 rows .*, got 0"),
        (-1, (0, 1), "seq_len: expected a total of 0 or more tokens, got -1"),
    ],
)
def test_any_other_count_is_refused_with_the_counts_it_would_take(seq_len, given, message):
    cache = fed(Append(9), 6)
    with pytest.raises(ShapeError, match=message):
        cache.update(0, *rows(*given), seq_len=seq_len)
    assert shown(cache.read(0)) == [0, 1, 2, 3, 4, 5]


def test_a_negative_total_without_rows_is_no_position():
    with pytest.raises(PositionError):
        fed(Append(9), 2).update(0, *rows(0, 0), seq_len=-1)


def test_replace_mode_takes_all_rows_anew_also_for_the_same_total():
    cache = make(Replace(4))
    assert shown(total(cache, 3, (0, 3))) == [0, 1, 2]
    before = cache.read(0)
    assert shown(total(cache, 3, (0, 3))) == [0, 1, 2]
    assert cache.stats.tokens_written == 6
    assert "stale" in repr(before)


@pytest.mark.parametrize("given", [(0, 0), (0, 1), (0, 4)])
def test_replace_mode_refuses_any_count_but_the_total(given):
    cache = make(Replace(4))
    total(cache, 2, (0, 2))
    with pytest.raises(ShapeError, match="expected 3 rows"):
        cache.update(0, *rows(*given), seq_len=3)
    assert shown(cache.read(0)) == [0, 1]
