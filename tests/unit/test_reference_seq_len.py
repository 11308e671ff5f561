"""The reference goes where ``seq_len=`` and ``truncate`` say, or nowhere (laws 6 and 7)."""

from __future__ import annotations

import pytest

from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import CapacityError, EvictedError, PositionError, ShapeError
from tests.support import WORKED_EXAMPLE, filled_reference, make_reference, reference_state

# Law 6: seq_len=


@pytest.mark.parametrize("strategy", [Append(9), WORKED_EXAMPLE])
@pytest.mark.parametrize("rows", [[4, 5], ["-", "-", "-", "-", 4, 5]])
def test_seq_len_takes_the_new_rows_or_the_full_history(strategy: Mode, rows: list[object]) -> None:
    cache = filled_reference(strategy, 4)
    view = cache.update(0, rows, seq_len=6)
    assert len(view.visible) == 2
    assert cache.rows(0) == list(range(6))


@pytest.mark.parametrize("rows", [[], ["-"] * 4])
def test_seq_len_that_is_reached_already_reads(rows: list[object]) -> None:
    cache = filled_reference(Circular(2), 4)
    assert cache.update(0, rows, seq_len=4) == cache.read(0)
    assert cache.rows(0) == [2, 3]


@pytest.mark.parametrize("strategy", [Append(9), Circular(2), Replace(9)])
def test_seq_len_without_rows_reads_an_empty_layer_in_every_mode(strategy: Mode) -> None:
    """One query that sees nothing, where a plain update of no tokens has no queries."""
    cache = make_reference(strategy)
    assert cache.update(0, [], seq_len=0).mask() == [[]]
    assert cache.update(0, []).mask() == []


def test_a_smaller_seq_len_without_rows_truncates_all_layers_once() -> None:
    cache = make_reference(Append(9), Circular(4))
    for layer in range(2):
        cache.update(layer, list("abcd"))
    assert cache.update(0, [], seq_len=2).positions == [0, 1]
    assert cache.seq_lens == [[2], [2]]
    assert cache.update(1, [], seq_len=2).positions == [0, 1]


def test_a_chunk_length_taken_for_the_total_is_explained() -> None:
    cache = filled_reference(Append(9), 6)
    message = (
        "seq_len=1 would drop 5 of 6 tokens; it is the total, not the chunk; "
        r"to drop tokens call truncate\(1\)"
    )
    with pytest.raises(ShapeError, match=message):
        cache.update(0, ["x"], seq_len=1)


@pytest.mark.parametrize(
    ("count", "seq_len", "expected"),
    [(1, 6, "2 or 6"), (3, 6, "2 or 6"), (7, 6, "2 or 6"), (1, 4, "0 or 4"), (5, 4, "0 or 4")],
)
def test_other_row_counts_are_refused_with_those_that_fit(
    count: int, seq_len: int, expected: str
) -> None:
    cache = filled_reference(Append(9), 4)
    before = reference_state(cache)
    with pytest.raises(ShapeError, match=f"expected {expected} rows, got {count}"):
        cache.update(0, ["-"] * count, seq_len=seq_len)
    assert reference_state(cache) == before


def test_a_negative_seq_len_is_no_position() -> None:
    cache = filled_reference(Append(9), 4)
    with pytest.raises(PositionError):
        cache.update(0, [], seq_len=-1)
    with pytest.raises(ShapeError):
        cache.update(0, ["-"], seq_len=-1)


def test_seq_len_cannot_bring_back_what_truncate_cannot() -> None:
    cache = filled_reference(Circular(2), 4)
    with pytest.raises(EvictedError):
        cache.update(0, [], seq_len=3)
    ahead = make_reference(Append(9), Append(9))
    ahead.update(0, list("abc"))
    with pytest.raises(PositionError):
        ahead.update(0, [], seq_len=2)


def test_only_new_rows_of_the_full_history_need_room() -> None:
    cache = filled_reference(Append(5), 4)
    cache.update(0, list(range(5)), seq_len=5)
    with pytest.raises(CapacityError):
        cache.update(0, list(range(6)), seq_len=6)


@pytest.mark.parametrize(("count", "seq_len"), [(2, 4), (0, 2), (1, 3), (0, 1), (3, 2), (0, -1)])
def test_replace_mode_takes_only_as_many_rows_as_seq_len_says(count: int, seq_len: int) -> None:
    cache = filled_reference(Replace(9), 2)
    with pytest.raises(ShapeError):
        cache.update(0, ["-"] * count, seq_len=seq_len)
    assert cache.rows(0) == [0, 1]


@pytest.mark.parametrize("rows", [["a"], ["a", "b"], ["a", "b", "c"], []])
def test_replace_mode_replaces_also_when_seq_len_stays(rows: list[object]) -> None:
    cache = filled_reference(Replace(9), 2)
    cache.update(0, rows, seq_len=len(rows))
    assert cache.rows(0) == rows


def test_replace_mode_leaves_the_other_layers_alone_when_seq_len_is_less() -> None:
    cache = make_reference(Replace(9), Append(9))
    for layer in range(2):
        cache.update(layer, list("abc"))
    cache.update(0, ["x"], seq_len=1)
    assert cache.seq_lens == [[1], [3]]


# Law 7: truncate


def test_truncate_to_a_position_whose_window_is_gone_is_refused() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    before = reference_state(cache)
    with pytest.raises(EvictedError, match="cannot truncate to 9: position 5 of layer 0 is gone"):
        cache.truncate(9)
    assert reference_state(cache) == before


@pytest.mark.parametrize(
    ("strategy", "tokens", "allowed"),
    [
        (WORKED_EXAMPLE, 12, [0, 1, 10, 11, 12]),
        (WORKED_EXAMPLE, 7, [0, 1, 2, 3, 4, 5, 6, 7]),
        (WORKED_EXAMPLE, 8, [0, 1, 6, 7, 8]),
        (Circular(window=1), 5, [0, 5]),
        (Circular(window=1, sink_tokens=3), 5, [0, 1, 2, 3, 5]),
        (Circular(window=2, rollback_tokens=2), 9, [0, 7, 8, 9]),
        (Append(9), 3, [0, 1, 2, 3]),
        (Replace(9), 3, [0, 1, 2, 3]),
    ],
)
def test_truncate_is_allowed_exactly_where_the_newest_query_finds_its_rows(
    strategy: Mode, tokens: int, allowed: list[int]
) -> None:
    for seq_len in range(tokens + 1):
        cache = filled_reference(strategy, tokens)
        before = cache.positions(0)
        if seq_len in allowed:
            cache.truncate(seq_len)
            assert cache.positions(0) == [p for p in before if p < seq_len]
            assert cache.seq_len == seq_len
        else:
            with pytest.raises(EvictedError):
                cache.truncate(seq_len)


def test_rollback_can_be_repeated_once_new_tokens_have_refilled_it() -> None:
    cache = filled_reference(Circular(window=2, rollback_tokens=1), 6)
    for _ in range(3):
        cache.truncate(cache.seq_len - 1)
        with pytest.raises(EvictedError):
            cache.truncate(cache.seq_len - 1)
        assert len(cache.update(0, ["x", "y"]).visible) == 2


def test_after_a_truncation_rows_stay_until_the_ring_comes_round_to_them() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    cache.truncate(10)
    assert cache.update(0, ["x", "y"]).evicted == []
    assert cache.positions(0) == [0, 6, 7, 8, 9, 10, 11]
    assert cache.update(0, ["z"]).evicted == [6]
    assert cache.read(0).rows == [0, 9, "x", "y", "z"]


def test_truncate_drops_all_layers_or_none() -> None:
    cache = make_reference(Append(9), Circular(2))
    for layer in range(2):
        cache.update(layer, list("abcd"))
    before = reference_state(cache)
    with pytest.raises(EvictedError, match="layer 1"):
        cache.truncate(3)
    assert reference_state(cache) == before


@pytest.mark.parametrize("seq_len", [-1, 3])
def test_truncate_to_what_no_layer_or_not_every_layer_has_is_no_position(seq_len: int) -> None:
    cache = make_reference(Append(9), Append(9))
    cache.update(0, list("abc"))
    cache.update(1, list("ab"))
    with pytest.raises(PositionError) as caught:
        cache.truncate(seq_len)
    assert not isinstance(caught.value, EvictedError)
    cache.truncate(cache.seq_len)
    assert cache.seq_lens == [[2], [2]]
