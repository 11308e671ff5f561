"""The decision table of ``seq_len=``, for every small number and against a table written out."""

from __future__ import annotations

import itertools

import pytest

from kvring import ShapeError
from kvring.cache.total import Todo, what_total_means

NUMBERS = range(7)
WRITE, READ, TRUNCATE = Todo("write"), Todo("read"), Todo("truncate")


def decided(seq_len: int, before: int, given: int, replaces: bool = False) -> Todo | str:
    """What to do, or the refusal."""
    try:
        return what_total_means(seq_len, before=before, given=given, replaces=replaces)
    except ShapeError as error:
        return str(error)


def test_after_two_tokens_the_table_is_this_one() -> None:
    #           rows given: 0         1      2     3                       4
    table = {
        0: (TRUNCATE, None, None, None, None),
        1: (TRUNCATE, None, None, None, None),
        2: (READ, None, READ, None, None),
        3: (None, WRITE, None, Todo("write", skip=2), None),
        4: (None, None, WRITE, None, Todo("write", skip=2)),
    }
    for seq_len, row in table.items():
        for given, wanted in enumerate(row):
            found = decided(seq_len, before=2, given=given)
            assert (found == wanted) if wanted else isinstance(found, str), (seq_len, given, found)


@pytest.mark.parametrize("before", NUMBERS)
def test_every_total_is_decided_by_the_rows_that_come_with_it(before: int) -> None:
    for seq_len, given in itertools.product(NUMBERS, NUMBERS):
        new = seq_len - before
        accepted: dict[int, Todo] = {}  # row count -> what to do; of two readings the first holds
        if new > 0:
            accepted = {new: WRITE} | {seq_len: Todo("write", skip=before)}
        elif new == 0:
            accepted = {0: READ, seq_len: READ}
        else:
            accepted = {0: TRUNCATE}
        found = decided(seq_len, before, given)
        if given in accepted:
            assert found == accepted[given], (seq_len, given)
        else:
            assert isinstance(found, str), (seq_len, given)


@pytest.mark.parametrize("before", NUMBERS)
def test_replace_mode_takes_all_rows_anew_or_none_at_all(before: int) -> None:
    for seq_len, given in itertools.product(NUMBERS, NUMBERS):
        found = decided(seq_len, before, given, replaces=True)
        if seq_len == given:
            assert found == WRITE
        else:
            assert found == (
                f"seq_len={seq_len} with {given} rows: replace mode takes all rows anew; expected"
                f" {seq_len} rows"
            )


def test_in_an_empty_layer_new_rows_and_full_history_are_the_same() -> None:
    assert decided(3, before=0, given=3) == WRITE == Todo("write", skip=0)


@pytest.mark.parametrize(("seq_len", "given", "counts"), [(9, 4, "3 or 9"), (6, 1, "0 or 6")])
def test_a_refusal_names_the_row_counts_it_would_have_taken(
    seq_len: int, given: int, counts: str
) -> None:
    assert decided(seq_len, before=6, given=given) == (
        f"seq_len={seq_len} after 6 tokens: expected {counts} rows (the new ones, or the full"
        f" history), got {given}"
    )


def test_a_refusal_in_an_empty_layer_names_one_row_count() -> None:
    assert decided(3, before=0, given=1) == (
        "seq_len=3 after 0 tokens: expected 3 rows (the new ones, or the full history), got 1"
    )


def test_a_chunks_length_taken_for_the_total_is_told_apart() -> None:
    assert decided(1, before=6, given=1) == (
        "seq_len=1 would drop 5 of 6 tokens; it is the total, not the chunk; to drop tokens call"
        " truncate(1)"
    )
