"""Rows and a mask, which most caches in Python hand back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtypes import checked_dtype
from ..finding import Finding, FoundError
from ..names import (
    MOST_BATCH_ROWS,
    MOST_TAGS,
    Token,
    bits,
    named_rows,
    spell,
    tokens_in,
)
from ..observations import Rows
from ..setup import Setup
from ..steps import Update
from ..supports import Supports
from ..truth import QueryTruth, Truth
from .kind import Array, Given, Kind, as_array
from .queries import found_at_query, judge_query

__all__ = ["RowsKind"]

K, V = 1, 2

# By everything a name depends on but the token: the tokens given so far, by the bytes of K and V.
_TOKENS: dict[tuple[Any, ...], dict[bytes, Token]] = {}


class RowsKind(Kind):
    """Every row says whose it is; the mask says which query may attend to it."""

    def __init__(self, setup: Setup, supports: Supports) -> None:
        super().__init__(setup, supports)
        self.dtype = checked_dtype(setup.dtype)
        numbers = (setup.kv_heads, setup.head_dim, setup.value_dim, setup.dtype)
        self._by_bytes = [
            _TOKENS.setdefault((layer, *numbers, supports.special_values), {})
            for layer in range(setup.layers)
        ]

    def given(self, layer: int, tokens: list[list[Token]], step: Update) -> Given:
        """K and V of the tokens in the layout of the setup."""
        keys, values = (self._named(tokens, layer, kind) for kind in (K, V))
        by_bytes = self._by_bytes[layer]
        for row, row_keys, row_values in zip(tokens, keys, values, strict=True):
            for token, key, value in zip(row, row_keys, row_values, strict=True):
                by_bytes[key.tobytes() + value.tobytes()] = token
        return Given([self._in_layout(array) for array in (keys, values)])

    def judge(
        self, layer: int, seen: Any, truths: list[list[QueryTruth]], truth: Truth, given: Given
    ) -> None:
        """Compare what every query saw with the reference, row by row and bit by bit."""
        if not isinstance(seen, Rows):
            raise FoundError(Finding("shape", f"update returned {type(seen).__name__}, not Rows"))
        for batch_row, queries in enumerate(truths):
            keys, values, mask, positions = self._of_batch_row(layer, seen, batch_row, truths)
            if not queries:
                continue
            looked_up = self._looked_up(keys, values, mask, layer)
            for query in queries:
                rows = np.flatnonzero(mask[query.index]).tolist()
                tokens = []
                for row in rows:
                    token = looked_up[row]
                    if token is None:
                        what = self._broken_row(keys[row], values[row], layer, batch_row, truth)
                        raise found_at_query(*what, layer, batch_row, query, _spelled(values, rows))
                    tokens.append(token)
                judge_query(layer, batch_row, tokens, query, truth, self.supports.row_order)
                if positions is not None:
                    self._judge_positions(positions[rows], tokens, query, layer, batch_row)

    def rows_returned(self, seen: Any) -> int | None:
        """How many rows K has, with one array for all batch rows."""
        axis = 1 if self.setup.layout == "BSHD" else 2
        return None if isinstance(seen.keys, (list, tuple)) else int(np.shape(seen.keys)[axis])

    # Into and out of arrays

    def _named(self, tokens: list[list[Token]], layer: int, kind: int) -> Array:
        return named_rows(
            tokens,
            layer=layer,
            kv_heads=self.setup.kv_heads,
            width=self.setup.head_dim if kind == K else self.setup.value_dim,
            dtype=self.setup.dtype,
            kind=kind,
            special=self.supports.special_values,
        )

    def _in_layout(self, array: Array) -> Array:
        if self.setup.layout == "BSHD":
            return array
        return np.ascontiguousarray(array.swapaxes(1, 2))

    def _of_batch_row(
        self, layer: int, seen: Rows, batch_row: int, truths: list[list[QueryTruth]]
    ) -> tuple[Array, Array, Array, Array | None]:
        """K, V ``(rows, kv_heads, dim)``, mask ``(tokens, rows)`` and positions of a batch row."""
        batch = len(truths)
        keys = self._plane("keys", seen.keys, batch_row, batch, layer, self.setup.head_dim)
        values = self._plane("values", seen.values, batch_row, batch, layer, self.setup.value_dim)
        if len(keys) != len(values):
            message = f"{len(keys)} rows of K and {len(values)} of V"
            raise FoundError(Finding("shape", message, layer, batch_row))
        queries = 1 + max((query.index for query in truths[batch_row]), default=-1)
        mask = self._mask(seen.mask, batch_row, layer, queries, len(keys))
        return keys, values, mask, self._positions(seen.positions, batch_row, layer, len(keys))

    def _plane(
        self, what: str, given: Any, batch_row: int, batch: int, layer: int, dim: int
    ) -> Array:
        if not isinstance(given, (list, tuple)):
            given = as_array(what, given, layer, 4)
        if len(given) != batch:
            message = f"{what}: expected {batch} batch rows, got {len(given)}"
            raise FoundError(Finding("shape", message, layer))
        plane = as_array(what, given[batch_row], layer, 3)
        if self.setup.layout == "BHSD":
            plane = plane.swapaxes(0, 1)
        if plane.shape[1:] != (self.setup.kv_heads, dim):
            wanted = f"kv_heads {self.setup.kv_heads} and {dim} elements"
            message = f"{what}: expected {wanted}, got {plane.shape[1:]}"
            raise FoundError(Finding("shape", message, layer, batch_row))
        if plane.dtype != self.dtype:
            message = f"{what}: expected {self.setup.dtype}, got {plane.dtype}"
            raise FoundError(Finding("shape", message, layer, batch_row))
        return plane

    def _mask(self, given: Any, batch_row: int, layer: int, queries: int, rows: int) -> Array:
        if given is None:
            return np.ones((queries, rows), bool)
        per_row = isinstance(given, (list, tuple)) or np.ndim(given) == 3
        mask = as_array("mask", given[batch_row] if per_row else given, layer, 2)
        if mask.dtype != bool or mask.shape[1] != rows or mask.shape[0] < queries:
            message = f"mask: expected bool ({queries}, {rows}), got {mask.dtype} {mask.shape}"
            raise FoundError(Finding("shape", message, layer, batch_row))
        return mask

    def _positions(self, given: Any, batch_row: int, layer: int, rows: int) -> Array | None:
        if given is None:
            return None
        per_row = isinstance(given, (list, tuple)) or np.ndim(given) == 2
        positions = as_array("positions", given[batch_row] if per_row else given, layer, 1)
        if len(positions) != rows:
            message = f"positions: expected {rows}, got {len(positions)}"
            raise FoundError(Finding("shape", message, layer, batch_row))
        return positions

    # What rows say

    def _looked_up(self, keys: Array, values: Array, mask: Array, layer: int) -> list[Token | None]:
        """The token of each row that any query sees, None where K, V or a head is not its own."""
        by_bytes = self._by_bytes[layer]
        tokens: list[Token | None] = [None] * len(keys)
        for row in np.flatnonzero(mask.any(axis=0)).tolist():
            tokens[row] = by_bytes.get(keys[row].tobytes() + values[row].tobytes())
            if tokens[row] is None:
                tokens[row] = self._never_given(keys[row], values[row], layer)
        return tokens

    def _never_given(self, key: Array, value: Array, layer: int) -> Token | None:
        """The token whose row this is bit for bit though no update brought it; None if none is."""
        tags, origins = tokens_in(value[None])
        token = int(tags[0]), int(origins[0])
        if not (0 < token[0] < MOST_TAGS and token[1] < MOST_BATCH_ROWS):
            return None
        named = [self._named([[token]], layer, kind)[0, 0] for kind in (K, V)]
        same = named[0].tobytes() == key.tobytes() and named[1].tobytes() == value.tobytes()
        return token if same else None

    def _broken_row(
        self, keys: Array, values: Array, layer: int, batch_row: int, truth: Truth
    ) -> tuple[str, str]:
        """The invariant that a row breaks, and what it says about itself."""
        words = [spell(row) for row in (*keys, *values)]
        for word in words:
            if not word.startswith(("K of", "V of")):
                zero_key = word == "a row of zeros" and word not in words[len(keys) :]
                if not zero_key or self._known_nonzero(values, layer):
                    return "unwritten", f"a query sees {word}"
        said = f"K says {words[0]}; V says {words[len(keys)]}"
        return "mixed row", f"the parts of a row do not belong together, or a bit changed: {said}"

    def _known_nonzero(self, values: Array, layer: int) -> bool:
        """Whether the token that V names was given keys that are not zero."""
        tags, origins = tokens_in(values[None])
        if tags[0] < 0:
            return True
        named = self._named([[(int(tags[0]), int(origins[0]))]], layer, K)
        return bool(bits(named).any())

    def _judge_positions(
        self, found: Array, tokens: list[Token], query: QueryTruth, layer: int, batch_row: int
    ) -> None:
        if self.supports.positions == "renumbered":
            return
        position_of = {token: position for position, token in (*query.must, *query.may)}
        expected = [position_of[token] for token in tokens]
        if found.tolist() != expected:
            shown = [str(position) for position in found.tolist()]
            message = "a row stands under another position than its own"
            raise found_at_query("order", message, layer, batch_row, query, shown)


def _spelled(values: Array, rows: list[int]) -> list[str]:
    return [spell(values[row, 0]) for row in rows]
