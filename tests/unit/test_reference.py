"""The reference does what the contract says: small cases with answers worked out by hand.

Laws 6 and 7 are in ``test_reference_seq_len.py``, law 11 in ``test_reference_ragged.py``, and what
moves whole batch rows in ``test_reference_surgery.py``.
"""

from __future__ import annotations

import ast
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

import kvring.reference
from kvring.config import Append, Circular, Mode, Replace
from kvring.errors import CapacityError, DTypeError, KVRingError, LayerError, ShapeError
from kvring.reference import ReferenceView
from tests.support import WORKED_EXAMPLE, filled_reference, make_reference, reference_state


def seen(view: ReferenceView) -> list[list[int]]:
    """Positions that each query sees."""
    return [[position for position, _ in query] for query in view.visible]


# Law 1 and 2: positions, append mode


def test_positions_are_consecutive_and_rows_keep_theirs() -> None:
    cache = make_reference(Append(5))
    cache.update(0, ["a", "b"])
    view = cache.update(0, ["c"])
    assert (view.positions, view.rows) == ([0, 1, 2], ["a", "b", "c"])


def test_append_mode_shows_a_query_all_that_came_before_it() -> None:
    view = make_reference(Append(5)).update(0, ["a", "b", "c"])
    assert seen(view) == [[0], [0, 1], [0, 1, 2]]
    assert view.mask() == [[True, False, False], [True, True, False], [True, True, True]]
    assert view.evicted == []


def test_append_mode_refuses_rows_beyond_its_capacity() -> None:
    cache = filled_reference(Append(3), 2)
    before = reference_state(cache)
    with pytest.raises(CapacityError, match="expected at most 1 rows, got 2"):
        cache.update(0, ["a", "b"])
    assert reference_state(cache) == before
    cache.update(0, ["a"])
    assert cache.room == 0


# Law 3 and 5: circular mode and views


def test_the_worked_example_holds_seven_rows_and_shows_five() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    assert cache.positions(0) == [0, 6, 7, 8, 9, 10, 11]
    assert cache.rows(0) == [0, 6, 7, 8, 9, 10, 11]
    assert seen(cache.read(0)) == [[0, 8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("tokens", "visible"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 1, 3, 4])],
)
def test_a_prompt_may_be_shorter_than_the_sinks(tokens: int, visible: list[int]) -> None:
    assert filled_reference(Circular(window=2, sink_tokens=2), tokens).read(0).positions == visible


def test_the_window_counts_the_query_itself() -> None:
    assert filled_reference(Circular(window=1), 9).read(0).positions == [8]


def test_a_chunk_that_fits_the_rollback_rows_sees_old_and_new_rows() -> None:
    view = filled_reference(WORKED_EXAMPLE, 12).update(0, [12, 13, 14])
    assert view.positions == view.rows == [0, 9, 10, 11, 12, 13, 14]
    assert seen(view) == [[0, 9, 10, 11, 12], [0, 10, 11, 12, 13], [0, 11, 12, 13, 14]]


def test_early_queries_of_a_long_chunk_keep_the_window_that_it_evicts() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    view = cache.update(0, list(range(12, 17)))
    assert view.positions == view.rows == [0, *range(9, 17)]
    assert seen(view)[0] == [0, 9, 10, 11, 12]
    assert view.evicted == [6, 7, 8, 9, 10]
    assert cache.positions(0) == [0, *range(11, 17)]


def test_a_chunk_longer_than_the_ring_counts_its_own_rows_as_evicted() -> None:
    cache = make_reference(Circular(window=2, sink_tokens=1, rollback_tokens=1))
    view = cache.update(0, list(range(9)))
    assert view.evicted == [1, 2, 3, 4, 5]
    assert view.positions == list(range(9))
    assert cache.positions(0) == [0, 6, 7, 8]


@pytest.mark.parametrize(
    ("window", "sink_tokens", "rollback_tokens"),
    list(itertools.product((1, 2, 3), (0, 2), (0, 1, 2))),
)
def test_every_query_sees_the_formula_of_law_3(
    window: int, sink_tokens: int, rollback_tokens: int
) -> None:
    view = filled_reference(Circular(window, sink_tokens, rollback_tokens), 0).update(
        0, list(range(9))
    )
    for query, positions in enumerate(seen(view)):
        wanted = set(range(sink_tokens)) | set(range(query - window + 1, query + 1))
        assert positions == sorted(wanted & set(range(query + 1)))


@pytest.mark.parametrize("strategy", [WORKED_EXAMPLE, Circular(3), Append(12)])
@pytest.mark.parametrize("cuts", [(6, 6), (1, 11), (2, 3, 7), (5, 1, 1, 5), (1,) * 12])
def test_cutting_tokens_into_other_chunks_changes_nothing(
    strategy: Mode, cuts: tuple[int, ...]
) -> None:
    cache = make_reference(strategy)
    queries, evicted = [], []
    for count in cuts:
        view = cache.update(0, list(range(cache.seq_len, cache.seq_len + count)))
        queries += view.visible
        evicted += view.evicted
    whole = make_reference(strategy)
    view = whole.update(0, list(range(12)))
    assert (queries, evicted) == (view.visible, view.evicted)
    assert reference_state(cache) == reference_state(whole)


def test_read_has_one_query_even_when_there_is_nothing_to_see() -> None:
    view = make_reference(Append(2)).read(0)
    assert (view.positions, view.visible, view.mask()) == ([], [[]], [[]])


@pytest.mark.parametrize("strategy", [Append(4), Circular(2), Replace(4)])
def test_an_update_of_no_tokens_returns_no_rows_and_no_queries(strategy: Mode) -> None:
    view = filled_reference(strategy, 3).update(0, [])
    assert (view.positions, view.visible, view.mask(), view.evicted) == ([], [], [], [])


# Law 4: replace mode


def test_replace_mode_starts_again_at_position_0() -> None:
    cache = make_reference(Replace(3))
    cache.update(0, ["a", "b", "c"])
    view = cache.update(0, ["d", "e"])
    assert (view.positions, view.rows, view.evicted) == ([0, 1], ["d", "e"], [])
    assert seen(view) == [[0], [0, 1]]
    assert cache.seq_len == cache.length == 2


def test_replace_mode_with_no_rows_empties_the_layer() -> None:
    cache = filled_reference(Replace(3), 3)
    cache.update(0, [])
    assert (cache.seq_len, cache.positions(0), cache.room) == (0, [], 3)


def test_replace_mode_refuses_more_rows_than_capacity() -> None:
    cache = filled_reference(Replace(3), 2)
    before = reference_state(cache)
    with pytest.raises(CapacityError):
        cache.update(0, list("abcd"))
    assert reference_state(cache) == before


# Law 8 and 10: refusals, counters, copies


@pytest.mark.parametrize(
    ("layer", "error"),
    [(2, LayerError), (-1, LayerError), (0.0, DTypeError), (True, DTypeError), ("0", DTypeError)],
)
def test_a_layer_that_is_none_is_refused_everywhere(layer: Any, error: type[KVRingError]) -> None:
    cache = make_reference(Append(9), Append(9))
    for call in (cache.read, cache.positions, lambda n: cache.update(n, ["a"])):
        with pytest.raises(error):
            call(layer)
    assert cache.lengths == [[0], [0]]


@pytest.mark.parametrize("seq_len", [1.0, True, "1", b"1"])
def test_a_seq_len_that_is_no_integer_is_refused(seq_len: Any) -> None:
    cache = filled_reference(Append(9), 1)
    with pytest.raises(DTypeError):
        cache.update(0, [], seq_len=seq_len)
    with pytest.raises(DTypeError):
        cache.truncate(seq_len)


def test_counters_are_kept_per_layer_and_batch_row() -> None:
    cache = make_reference(Append(9), Circular(2), batch=3)
    cache.update(0, list("abc"))
    cache.update(1, list("abcd"))
    assert cache.seq_lens == [[3] * 3, [4] * 3]
    assert cache.lengths == [[3] * 3, [2] * 3]
    assert (cache.seq_len, cache.length) == (3, 2)


@pytest.mark.parametrize(
    ("strategies", "room"),
    [
        ([Append(9)], 6),
        ([Append(9), Append(5)], 2),
        ([Replace(5)], 5),
        ([Circular(2)], None),
        ([Circular(2), Append(9)], 6),
        ([Circular(2), Replace(4), Append(9)], 4),
    ],
)
def test_room_is_what_one_update_of_every_layer_takes(
    strategies: list[Mode], room: int | None
) -> None:
    cache = make_reference(*strategies)
    for layer in range(len(strategies)):
        cache.update(layer, list("abc"))
    assert cache.room == room


def test_reset_forgets_everything() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    cache.reset()
    assert reference_state(cache) == reference_state(make_reference(WORKED_EXAMPLE))


def test_a_copy_goes_its_own_way() -> None:
    cache = filled_reference(WORKED_EXAMPLE, 12)
    twin = cache.copy()
    assert reference_state(twin) == reference_state(cache)
    before = reference_state(cache)
    twin.update(0, ["x"])
    twin.truncate(0)
    assert reference_state(cache) == before


def test_a_wrong_batch_row_is_refused_everywhere() -> None:
    cache = make_reference(Append(9), batch=2)
    view = cache.update(0, ["a"])
    for call in (
        lambda n: cache.positions(0, n),
        lambda n: cache.rows(0, n),
        lambda n: cache.sequence(0, n),
        view.batch_row,
    ):
        for number in (2, -1):
            with pytest.raises(ShapeError, match=r"batch_row: expected 0 \.\. 1, got"):
                call(number)
        for other in (True, 0.0, "0", None):
            with pytest.raises(DTypeError):
                call(other)


CONFIGURATION = {"..config", "..errors", "..eviction"}
OF_THE_REFERENCE = sorted(Path(str(kvring.reference.__file__)).parent.glob("*.py"))


@pytest.mark.parametrize("path", OF_THE_REFERENCE, ids=lambda path: path.name)
def test_the_reference_shares_nothing_with_what_it_judges(path: Path) -> None:
    """It imports itself, kvring's configuration and errors, and the standard library alone."""
    own = {f".{path.stem}" for path in OF_THE_REFERENCE}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        assert not isinstance(getattr(node, "op", None), ast.Mod)
    ours = {name for name in imported if name.startswith(".")}
    assert ours <= own | CONFIGURATION
    assert {name.split(".")[0] for name in imported - ours} <= sys.stdlib_module_names
