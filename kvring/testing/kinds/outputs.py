"""Attention outputs alone: what an operator shows that hides its cache.

A query of zeros weighs all visible keys alike, so the output is the mean of the visible values.
With one lane of the value per token, that mean spells the visible set: lane t is 1/n if token t is
among the n rows seen, 2/n if it is seen twice. Lane 0 is 1 in every value, so a row that was never
given shows as a sum that falls short. Layers, batch rows and KV heads differ in the height of their
lanes.

A query that looks for one token (its key is one lane, too) finds that token's value if the K and
the V of a row belong together. Every third update asks so.

Worked example: tokens 1 and 3 visible, of height 2: the output is ``[1, 1, 0, 1, 0, ...]`` (lanes 1
and 3 hold 2 / 2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtypes import checked_dtype
from ..finding import Finding, FoundError
from ..names import ZERO_KEY_TAGS, Token, token_id
from ..observations import Outputs
from ..query_truth import Entry, QueryTruth
from ..setup import Setup
from ..steps import Update
from ..supports import Supports
from ..truth import Truth
from .kind import Array, Given, Kind, as_array

__all__ = ["OutputsKind", "looks_for"]

# How sharply a query looks: what it looks for outweighs any other visible row 3000 to 1.
SHARPNESS = 8.0


def looks_for(tokens: list[list[Token]]) -> int:
    """The lane that the queries of an update look for; 0 for queries of zeros."""
    first = tokens[0][0][0] if tokens[0] else 0
    return max(first - 2, 1) if first % 3 == 0 and 0 < first < ZERO_KEY_TAGS else 0


class OutputsKind(Kind):
    """`update` gets queries ``(batch, tokens, query_heads, head_dim)`` besides K and V."""

    def __init__(self, setup: Setup, supports: Supports) -> None:
        super().__init__(setup, supports)
        self.dtype = checked_dtype(setup.dtype)
        self.most_tokens = min(setup.head_dim, setup.value_dim) - 2

    def given(self, layer: int, tokens: list[list[Token]], step: Update) -> Given:
        """Queries of zeros, or that look for one token; lanes for K and V."""
        keys, values = self._lanes(tokens, layer)
        queries = np.zeros_like(keys)
        looked_for = looks_for(tokens)
        if looked_for:
            queries[..., looked_for] = SHARPNESS * np.sqrt(self.setup.head_dim)
        if self.setup.layout == "BHSD":
            queries, keys, values = (
                np.ascontiguousarray(array.swapaxes(1, 2)) for array in (queries, keys, values)
            )
        return Given([array.astype(self.dtype) for array in (queries, keys, values)])

    def judge(
        self, layer: int, seen: Any, truths: list[list[QueryTruth]], truth: Truth, given: Given
    ) -> None:
        """Compare each output with attention over what the query may see."""
        if not isinstance(seen, Outputs):
            raise FoundError(
                Finding("shape", f"update returned {type(seen).__name__}, not Outputs")
            )
        outputs = as_array("outputs", seen.outputs, layer, 4).astype(np.float64)
        queries = given.arrays[0].astype(np.float64)
        if self.setup.layout == "BHSD":
            queries = queries.swapaxes(1, 2)
        wanted = (*queries.shape[:3], self.setup.value_dim)
        if outputs.shape != wanted:
            message = f"outputs: expected {wanted}, got {outputs.shape}"
            raise FoundError(Finding("shape", message, layer))
        for batch_row, row in enumerate(truths):
            for query in row:
                at = (batch_row, query.index)
                self._judge_query(layer, batch_row, query, queries[at], outputs[at], truth)

    def _judge_query(
        self,
        layer: int,
        batch_row: int,
        query: QueryTruth,
        asked: Array,
        got: Array,
        truth: Truth,
    ) -> None:
        older = sorted(query.may)
        for skipped in range(len(older) + 1):  # from all that it may see to what it must
            visible = sorted([*query.must, *older[skipped:]])
            expected = self._attended(visible, asked, layer)
            if np.allclose(got, expected, rtol=self.supports.tolerance, atol=self._least()):
                return
        message = "the output is not the mean of the visible values"
        if asked.any():
            message = "the output is not the value of the token that the query looks for"
        expected = self._attended(sorted(query.must), asked, layer)
        off = np.abs(got - expected).max(axis=1)
        head = int(np.argmax(np.nan_to_num(off, nan=np.inf)))  # the first that is most wrong
        if head:
            message += f", in head {head}"
        sequence = truth.sequence(layer, batch_row)
        wanted, found = (
            tuple(self._spelled(side[head], sequence, layer, head)) for side in (expected, got)
        )
        at = (layer, batch_row, query.position)
        raise FoundError(Finding("output", message, *at, wanted, found))

    def _least(self) -> float:
        return 1e-3 if self.dtype.itemsize > 2 else 4e-3

    def _attended(self, visible: list[Entry], asked: Array, layer: int) -> Array:
        """Softmax attention in float64: ``(kv_heads, value_dim)``."""
        if not visible:
            return np.zeros((self.setup.kv_heads, self.setup.value_dim))
        keys, values = self._lanes([[token for _, token in visible]], layer)
        scores = np.einsum("hd,thd->ht", asked, keys[0]) / np.sqrt(self.setup.head_dim)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        outputs: Array = np.einsum("ht,thd->hd", weights, values[0])
        return outputs

    def _lanes(self, tokens: list[list[Token]], layer: int) -> tuple[Array, Array]:
        """K: 1 in the token's lane. V: 1 in lane 0, the height of its owner in the token's lane."""
        batch, count, kv_heads = len(tokens), len(tokens[0]), self.setup.kv_heads
        keys = np.zeros((batch, count, kv_heads, self.setup.head_dim))
        values = np.zeros((batch, count, kv_heads, self.setup.value_dim))
        values[..., 0] = 1
        for batch_row, row in enumerate(tokens):
            for place, token in enumerate(row):
                for head in range(kv_heads):
                    height = self._height(layer, head, token)
                    values[batch_row, place, head, self._lane(token)] = height
                    if token[0] < ZERO_KEY_TAGS:
                        keys[batch_row, place, head, self._lane(token)] = 1
        return keys, values

    def _lane(self, token: Token) -> int:
        """Ordinary tokens from lane 1 up; those with keys of zeros from the last lane down."""
        tag = token[0]
        last = min(self.setup.head_dim, self.setup.value_dim) - 1
        return tag if tag < ZERO_KEY_TAGS else last - (tag - ZERO_KEY_TAGS)

    def _height(self, layer: int, head: int, token: Token) -> float:
        return 1.0 + head + 4 * token[1] + 12 * layer

    def _spelled(self, output: Array, sequence: list[Entry], layer: int, head: int) -> list[str]:
        """What the output of one head says it saw: the lanes that are not zero, as weights."""
        by_lane = {self._lane(token): (position, token) for position, token in sequence}
        shown = []
        for lane in range(1, len(output)):
            if not abs(output[lane]) <= 1e-2:  # NaN is shown
                if lane in by_lane:
                    position, token = by_lane[lane]
                    share = output[lane] / self._height(layer, head, token)
                    shown.append(f"{position}: token {token_id(token)}, {share:.2f} of its value")
                else:
                    shown.append(f"gone: lane {lane}, {output[lane]:.2f}")
        if not abs(output[0] - 1) <= 1e-2:
            shown.append(f"rows that were given: {output[0]:.2f} of all weight")
        return shown
