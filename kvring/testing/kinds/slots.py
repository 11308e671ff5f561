"""Slot lists, replayed on an array of slots: what paged allocators show, who never touch K or V."""

from __future__ import annotations

from typing import Any

from ..finding import Finding, FoundError
from ..names import Token, token_id
from ..observations import Slots
from ..setup import Setup
from ..steps import Update
from ..supports import Supports
from ..truth import QueryTruth, Truth
from .kind import Given, Kind
from .queries import found_at_query, judge_query

__all__ = ["SlotsKind"]


class SlotsKind(Kind):
    """`update` gets the token counts, one per batch row, and says where rows go and are read."""

    def __init__(self, setup: Setup, supports: Supports) -> None:
        super().__init__(setup, supports)
        self._stored: list[dict[int, Token]] = [{} for _ in range(setup.layers)]
        self._tokens: list[list[Token]] = []

    def given(self, layer: int, tokens: list[list[Token]], step: Update) -> Given:
        """How many new tokens each batch row has."""
        counts = list(step.token_counts or (step.tokens,) * len(tokens))
        self._tokens = [
            row[len(row) - count :] if step.padding == "left" else row[:count]
            for row, count in zip(tokens, counts, strict=True)
        ]
        return Given([], [counts])

    def judge(
        self, layer: int, seen: Any, truths: list[list[QueryTruth]], truth: Truth, given: Given
    ) -> None:
        """Write the new tokens where the backend says, then look where its queries look."""
        if not isinstance(seen, Slots):
            raise FoundError(Finding("shape", f"update returned {type(seen).__name__}, not Slots"))
        stored = self._stored[layer]
        if given.plain:  # an update, not a read
            self._write(layer, seen, stored)
        for batch_row, queries in enumerate(truths):
            lists = _row(seen.visible, batch_row, "visible", layer)
            if len(lists) != len(queries):
                message = f"visible: expected {len(queries)} lists of slots, got {len(lists)}"
                raise FoundError(Finding("shape", message, layer, batch_row))
            for slots, query in zip(lists, queries, strict=True):
                tokens = []
                for slot in map(int, slots):
                    if slot not in stored:
                        shown = [_content(stored, int(s)) for s in slots]
                        message = f"slot {slot} is read, which nothing was written to"
                        where = (layer, batch_row, query)
                        raise found_at_query("unwritten", message, *where, shown)
                    tokens.append(stored[slot])
                order = self.supports.row_order
                judge_query(layer, batch_row, tokens, query, truth, order)

    def copy(self) -> SlotsKind:
        """For a copy of the backend, whose slots are its own."""
        twin = SlotsKind(self.setup, self.supports)
        twin._stored = [dict(stored) for stored in self._stored]
        return twin

    def rows_returned(self, seen: Any) -> int | None:
        """How many slots the last query of the first batch row reads."""
        lists = list(seen.visible[0])
        return len(lists[-1]) if lists else None

    def _write(self, layer: int, seen: Slots, stored: dict[int, Token]) -> None:
        for source, target in seen.copied:
            if int(source) in stored:
                stored[int(target)] = stored[int(source)]
        for batch_row, tokens in enumerate(self._tokens):
            slots = [int(slot) for slot in _row(seen.written, batch_row, "written", layer)]
            if len(slots) != len(tokens):
                message = f"written: expected {len(tokens)} slots, got {len(slots)}"
                raise FoundError(Finding("shape", message, layer, batch_row))
            for slot, token in zip(slots, tokens, strict=True):
                stored[slot] = token


def _row(lists: Any, batch_row: int, what: str, layer: int) -> list[Any]:
    try:
        return list(lists[batch_row])
    except (TypeError, IndexError, KeyError):
        message = f"{what}: expected one list per batch row, got {lists!r}"
        raise FoundError(Finding("shape", message, layer, batch_row)) from None


def _content(stored: dict[int, Token], slot: int) -> str:
    token = stored.get(slot)
    return f"slot {slot}: " + ("nothing" if token is None else f"token {token_id(token)}")
