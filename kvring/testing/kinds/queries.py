"""Is what one query saw what it should have seen? Shared by the kinds that show rows or slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..finding import Finding, FoundError
from ..names import Token, token_id
from ..truth import QueryTruth, Truth

__all__ = ["found_at_query", "judge_query"]


def judge_query(
    layer: int | None,
    batch_row: int,
    seen: list[Token],
    query: QueryTruth,
    truth: Truth,
    order: str,
) -> None:
    """FoundError unless `seen` is what `query` must see, and besides only what it may.

    `seen` is in the order in which the backend shows it; it counts if `order` is "temporal".
    """
    must = [token for _, token in query.must]
    if seen == must:
        return
    allowed = {token: position for position, token in (*query.must, *query.may)}
    if sorted(seen) != sorted(must):
        twice = [token for token, count in Counter(seen).items() if count > 1]
        wrong = [token for token in seen if token not in allowed]
        missing = [token for token in must if token not in seen]
        found = _found(layer, batch_row, seen, query, truth)
        if twice:
            raise found("twice", f"token {token_id(twice[0])} is seen twice")
        if wrong:
            invariant, why = _why_not(wrong[0], batch_row, query, truth, layer or 0)
            raise found(invariant, f"token {token_id(wrong[0])} is seen {why}")
        if missing:
            position = allowed[missing[0]]
            raise found(
                "missing", f"token {token_id(missing[0])} at position {position} is missing"
            )
        _check_no_gap(seen, query, found)
    if order == "temporal":
        positions = [allowed[token] for token in seen]
        if positions != sorted(positions):
            found = _found(layer, batch_row, seen, query, truth)
            raise found("order", "rows are declared to come oldest first, and do not")


Found = Callable[[str, str], FoundError]


def _check_no_gap(seen: list[Token], query: QueryTruth, found: Found) -> None:
    """Of the older tokens that a query may see, it sees the newest ones."""
    older = [token for _, token in sorted(query.may)]
    first = next((n for n, token in enumerate(older) if token in seen), len(older))
    for token in older[first:]:
        if token not in seen:
            raise found(
                "missing", f"token {token_id(token)} is missing between others that are seen"
            )


def _why_not(
    token: Token, batch_row: int, query: QueryTruth, truth: Truth, layer: int
) -> tuple[str, str]:
    """Which invariant a token breaks that a query sees and must not, and in words."""
    position = _position_of(token, batch_row, truth, layer)
    if position is not None and position > query.position:
        return "future", f"at position {position}, by an earlier query"
    if position is not None:
        return "stale", f"at position {position}, older than the window"
    other = _other_batch_row(token, batch_row, truth, layer)
    if other is not None:
        return "batch row", f"and belongs to batch row {other}"
    return "resurrected", "though it was dropped, replaced or refused"


def _position_of(token: Token, batch_row: int, truth: Truth, layer: int) -> int | None:
    for position, known in truth.sequence(layer, batch_row):
        if known == token:
            return position
    return None


def _found(
    layer: int | None, batch_row: int, seen: list[Token], query: QueryTruth, truth: Truth
) -> Found:
    """A maker of findings about this query, which show both sides."""

    def found(invariant: str, message: str) -> FoundError:
        shown = [_label(token, batch_row, truth, layer or 0) for token in seen]
        return found_at_query(invariant, message, layer, batch_row, query, shown)

    return found


def found_at_query(
    invariant: str,
    message: str,
    layer: int | None,
    batch_row: int,
    query: QueryTruth,
    shown: list[str],
) -> FoundError:
    """A finding about one query, with what it should see beside what it saw."""
    expected = tuple(f"{position}: token {token_id(token)}" for position, token in query.must)
    where = (layer, batch_row, query.position)
    return FoundError(Finding(invariant, message, *where, expected, tuple(shown)))


def _label(token: Token, batch_row: int, truth: Truth, layer: int) -> str:
    position = _position_of(token, batch_row, truth, layer)
    where = "gone" if position is None else str(position)
    if position is None:
        other = _other_batch_row(token, batch_row, truth, layer)
        where = where if other is None else f"batch row {other}"
    return f"{where}: token {token_id(token)}"


def _other_batch_row(token: Token, batch_row: int, truth: Truth, layer: int) -> int | None:
    """Another batch row that has the token now; None if none has."""
    for other in range(truth.batch):
        if other != batch_row and _position_of(token, other, truth, layer) is not None:
            return other
    return None
