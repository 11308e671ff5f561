"""Logits of a tiny model: what a cache shows that sits inside one.

The same model without a cache gets the whole sequence so far and a mask that says what each
position may attend to; then cached and uncached logits differ by rounding alone. The adapter
offers both: ``update(token_ids)`` and ``uncached(token_ids, mask)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..finding import Finding, FoundError
from ..names import Token
from ..observations import Logits
from ..steps import Update
from ..truth import QueryTruth, Truth
from .kind import Array, Given, Kind, as_array

__all__ = ["LogitsKind"]

# Prime, so that tags that are close together, or a window apart, become different words.
VOCABULARY = 61


class LogitsKind(Kind):
    """`update` gets token ids ``(batch, tokens)``, below 61, and runs all layers."""

    whole_model = True

    def given(self, layer: int, tokens: list[list[Token]], step: Update) -> Given:
        """The token ids."""
        ids = [[_word(token) for token in row] for row in tokens]
        return Given([np.array(ids, np.int64).reshape(len(tokens), step.tokens)])

    def judge(
        self, layer: int, seen: Any, truths: list[list[QueryTruth]], truth: Truth, given: Given
    ) -> None:
        """Never called: `judge_model` is, which needs the model without a cache."""
        raise NotImplementedError

    def judge_model(
        self, seen: Any, truths: list[list[QueryTruth]], truth: Truth, uncached: Any
    ) -> None:
        """Compare the logits of every new token with those of the model without a cache."""
        if not isinstance(seen, Logits):
            raise FoundError(Finding("shape", f"update returned {type(seen).__name__}, not Logits"))
        logits = as_array("logits", seen.logits, None, 3)
        for batch_row, queries in enumerate(truths):
            if not queries:
                continue
            words, mask = self._whole_sequence(batch_row, truth)
            expected = as_array("uncached", uncached(words, mask), None, 3)[0]
            for query in queries:
                wanted = expected[query.position].astype(np.float64)
                got = logits[batch_row, query.index].astype(np.float64)
                self._judge_query(batch_row, query, wanted, got)

    def _judge_query(self, batch_row: int, query: QueryTruth, wanted: Array, got: Array) -> None:
        if wanted.shape != got.shape:
            message = f"logits: expected {wanted.shape}, got {got.shape}"
            raise FoundError(Finding("shape", message, None, batch_row))
        allowed = self.supports.tolerance * max(float(np.abs(wanted).max()), 1e-30)
        difference = float(np.abs(wanted - got).max())
        if not difference <= allowed:  # NaN is a difference
            message = (
                f"logits differ by up to {difference:.3g} from those without a cache"
                f" (allowed {allowed:.3g})"
            )
            word = int(np.argmax(np.abs(np.nan_to_num(wanted - got, nan=np.inf))))
            expected, found = ((f"logit of word {word}: {n[word]:.3f}",) for n in (wanted, got))
            visible = tuple(position for position, _ in query.must)
            at = (None, batch_row, query.position)
            raise FoundError(Finding("logits", message, *at, expected, found, visible))

    def _whole_sequence(self, batch_row: int, truth: Truth) -> tuple[Array, Array]:
        """Token ids ``(1, n)`` of the sequence so far, and every position's mask ``(n, n)``."""
        sequence = truth.sequence(0, batch_row)
        words = np.array([[_word(token) for _, token in sequence]], np.int64)
        ideal = truth.ideal.sequence(0, batch_row)
        positions = [position for position, _ in sequence]
        mask = np.array([[ideal.sees(p, q) for q in positions] for p in positions], bool)
        return words, mask


def _word(token: Token) -> int:
    tag, batch_row = token
    return (tag * 7 + batch_row * 13) % VOCABULARY
