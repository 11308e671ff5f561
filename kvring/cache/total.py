"""The ``seq_len=`` form of update: what a total says about the rows that came with it.

With s tokens before, T rows given and n = seq_len:

==========  ===========  ==================================================
n > s       T == n       full history: rows s..n-1 of it are new
n > s       T == n - s   exactly the new rows
n == s      T in {0, n}  nothing to do
n < s       T == 0       take back all after the first n
==========  ===========  ==================================================

In replace mode only T == n means something, and it always replaces. All else is a mistake, and
nearly always the same one: a chunk's length taken for the total.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..errors import ShapeError

__all__ = ["Todo", "what_total_means"]


class Todo(NamedTuple):
    """What to do: "write" all but the first `skip` rows, "read", or "truncate"."""

    verb: Literal["write", "read", "truncate"]
    skip: int = 0


def what_total_means(seq_len: int, *, before: int, given: int, replaces: bool) -> Todo:
    """Decide what ``update(..., seq_len=seq_len)`` asks for, in tokens.

    Raises
    ------
    ShapeError
        With the row counts it would have taken.

    Examples
    --------
    >>> what_total_means(6, before=5, given=6, replaces=False)
    Todo(verb='write', skip=5)
    >>> what_total_means(1, before=6, given=1, replaces=False)
    Traceback (most recent call last):
    kvring.errors.ShapeError: seq_len=1 would drop 5 of 6 tokens; it is the total, not the chunk; \
to drop tokens call truncate(1)
    """
    if seq_len < 0 and (given or replaces):
        raise ShapeError(f"seq_len: expected a total of 0 or more tokens, got {seq_len}")
    if replaces:
        if given == seq_len:
            return Todo("write")
        raise ShapeError(
            f"seq_len={seq_len} with {given} rows: replace mode takes all rows anew; expected"
            f" {seq_len} rows"
        )
    new = seq_len - before
    if new > 0 and given == seq_len:
        return Todo("write", skip=before)
    if new > 0 and given == new:
        return Todo("write")
    if new == 0 and given in (0, seq_len):
        return Todo("read")
    if new < 0 and given == 0:
        return Todo("truncate")
    raise ShapeError(_refusal(seq_len, before, given))


def _refusal(seq_len: int, before: int, given: int) -> str:
    if seq_len < before:
        return (
            f"seq_len={seq_len} would drop {before - seq_len} of {before} tokens; it is the total,"
            f" not the chunk; to drop tokens call truncate({seq_len})"
        )
    counts = sorted({seq_len - before, seq_len})
    return (
        f"seq_len={seq_len} after {before} tokens: expected {' or '.join(map(str, counts))} rows"
        f" (the new ones, or the full history), got {given}"
    )
