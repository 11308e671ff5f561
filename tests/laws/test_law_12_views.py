"""Law 12: views are read-only windows on the ring, in pieces or in slot order, and go stale."""

import numpy as np
import pytest

from kvring import Append, Circular, Replace, StaleViewError
from tests.by_hand import fed, feed, make, rows, seen, settle, shown

WORKED_EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)


def pieces(view):
    """The keys of each segment, as positions."""
    return [keys.ravel().astype(int).tolist() for keys, _ in view.segments]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (0, [[]]),
        (3, [[0, 1, 2]]),  # not wrapped: sinks and window are neighbours
        (6, [[0], [2, 3, 4, 5]]),  # the window has left the sinks behind
        (9, [[0], [5, 6], [7, 8]]),  # wrapped
        (11, [[0, 7, 8, 9, 10]]),  # the window begins in slot 1, beside the sink
    ],
)
def test_segments_are_sinks_then_before_the_wrap_then_after_it(tokens, expected):
    view = fed(WORKED_EXAMPLE, tokens).read(0)
    assert pieces(view) == expected
    assert all(np.shares_memory(k, view._ring.keys_shown) or not k.size for k, _ in view.segments)


def test_views_and_their_arrays_are_read_only():
    view = fed(WORKED_EXAMPLE, 12).read(0)
    arrays = [view.keys, view.values, view.positions, view.mask()]
    arrays += [array for pair in view.segments for array in pair]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_keys_and_values_of_one_piece_are_zero_copy():
    cache = fed(Append(9), 5)
    keys, values = cache.read(0)
    assert np.shares_memory(keys, cache.rings[0].keys_shown)
    assert np.shares_memory(values, cache.rings[0].values_shown)
    assert cache.stats.rows_gathered == 0


def test_keys_and_values_of_several_pieces_are_gathered_once_and_counted():
    cache = fed(WORKED_EXAMPLE, 9)
    view = cache.read(0)
    assert view.keys is view.keys
    assert view.values.ravel().tolist() == [0.5, 5.5, 6.5, 7.5, 8.5]
    assert cache.stats.rows_gathered == 5


def test_physical_order_is_one_zero_copy_piece_with_rollback_rows_that_the_mask_excludes():
    cache = fed(WORKED_EXAMPLE, 12)
    view = cache.read(0, order="physical")
    assert view.positions.tolist() == [0, 7, 8, 9, 10, 11, 6]
    assert view.mask().tolist() == [[True, False, True, True, True, True, False]]
    assert np.shares_memory(view.keys, cache.rings[0].keys_shown)
    assert len(view.segments) == 1
    assert cache.stats.rows_gathered == 0


def test_physical_order_ends_with_the_highest_slot_that_holds_a_row():
    cache = fed(WORKED_EXAMPLE, 14)  # slots 1..6 hold 13, 8, 9, 10, 11, 12
    cache.truncate(12)
    settle(cache)
    assert cache.read(0, order="physical").positions.tolist() == [0, -1, 8, 9, 10, 11]
    cache.truncate(1)
    settle(cache)
    assert cache.read(0, order="physical").positions.tolist() == [0]


def test_a_dead_slot_has_position_minus_one_and_no_query_sees_it():
    cache = fed(WORKED_EXAMPLE, 14)
    cache.truncate(12)
    settle(cache)
    view = cache.read(0, order="physical")
    assert np.isnan(view.keys[0, 1, 0, 0])
    assert seen(view) == [[0, 8, 9, 10, 11]]


def test_an_assembled_view_is_in_temporal_order_whatever_was_asked_for():
    view = feed(fed(WORKED_EXAMPLE, 12), 5, order="physical")
    assert shown(view) == [0, *range(9, 17)]
    assert len(view.segments) == 1


CHANGES = {
    "an update": lambda cache: feed(cache, 1),
    "truncate": lambda cache: cache.truncate(cache.seq_len - 1),
    "truncate to where it is": lambda cache: cache.truncate(cache.seq_len),
    "reset": lambda cache: cache.reset(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("order", ["temporal", "physical"])
@pytest.mark.parametrize("mode", [Append(20), WORKED_EXAMPLE], ids=str)
def test_any_change_of_the_layer_makes_its_views_stale(mode, order, change):
    cache = fed(mode, 8)
    views = [feed(cache, 1, order=order), cache.read(0, order=order)]
    CHANGES[change](cache)
    for view in views:
        for use in (
            lambda v: v.keys,
            lambda v: v.values,
            lambda v: v.segments,
            lambda v: v.positions,
            lambda v: v.mask(),
            lambda v: v.evicted,
            lambda v: v.copy(),
            tuple,
        ):
            with pytest.raises(StaleViewError, match=r"the layer has changed since it was made"):
                use(view)


def test_an_assembled_view_goes_stale_too():
    cache = fed(WORKED_EXAMPLE, 12)
    view = feed(cache, 5)
    feed(cache, 1)
    with pytest.raises(StaleViewError):
        view.keys  # noqa: B018


def test_a_view_does_not_come_back_to_life_when_the_layer_is_refilled():
    cache = fed(Append(9), 5)
    view = cache.read(0)
    cache.truncate(4)
    feed(cache, 1)
    with pytest.raises(StaleViewError):
        view.keys  # noqa: B018


def test_other_layers_do_not_make_a_view_stale():
    cache = fed(Append(9), 3, layers=2)
    view = cache.read(0)
    feed(cache, 1, layer=1)
    assert shown(view) == [0, 1, 2]


def test_replacing_with_the_same_rows_makes_views_stale():
    cache = make(Replace(4))
    view = cache.update(0, *rows(0, 2))
    cache.update(0, *rows(0, 2))
    with pytest.raises(StaleViewError):
        view.keys  # noqa: B018


@pytest.mark.parametrize("order", ["temporal", "physical"])
@pytest.mark.parametrize("tokens", [1, 3, 5])
def test_a_copy_has_the_same_rows_positions_and_mask_and_never_goes_stale(tokens, order):
    cache = fed(WORKED_EXAMPLE, 12)
    view = feed(cache, tokens, order=order)
    copied = view.copy()
    expected = [np.array(x) for x in (view.keys, view.values, view.positions, view.mask())]
    for _ in range(9):
        feed(cache, 1)
    got = (copied.keys, copied.values, copied.positions, copied.mask())
    for e, g in zip(expected, got, strict=True):
        assert np.array_equal(e, g, equal_nan=e.dtype.kind == "f")
    assert all(not np.shares_memory(k, cache.rings[0].keys_shown) for k, _ in copied.segments)
    keys, values = copied
    assert keys is copied.keys
    assert values is copied.values


def test_positions_and_slots_of_the_cache_count_rollback_rows_too():
    cache = fed(WORKED_EXAMPLE, 12)
    assert cache.positions(0).tolist() == [0, 6, 7, 8, 9, 10, 11]
    assert cache.slots(0).tolist() == [0, 6, 1, 2, 3, 4, 5]
    assert cache.length == 7
