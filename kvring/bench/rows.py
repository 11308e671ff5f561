"""Rows that say which token they are, so that what a rival shows can be checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rival import Setup

__all__ = ["Feed", "WrongRowsError", "missing"]

# Elements 0 and 1 of a row are its token's number in digits that float16 holds exactly.
DIGIT = 1024
KEYS, VALUES = 1, 2
# Caches that concatenate are filled in few chunks: each of them copies all rows.
LARGEST_CHUNK = 16_384


class WrongRowsError(AssertionError):
    """A rival shows other rows than it was given: it is not timed."""


def tagged(setup: Setup, first: int, tokens: int, kind: int) -> NDArray[Any]:
    """Rows of tokens ``first .. first + tokens - 1``: ``(1, tokens, kv_heads, head_dim)``."""
    rows = np.empty((1, tokens, setup.kv_heads, setup.head_dim), setup.dtype)
    numbers = np.arange(first, first + tokens)[None, :, None]
    rows[...] = (numbers % DIGIT)[..., None]
    rows[..., 1] = numbers // DIGIT
    rows[..., 2] = np.arange(setup.kv_heads)
    rows[..., 3] = kind
    return rows


def missing(shown: NDArray[Any], kind: int, tokens: range) -> range | list[int]:
    """Which of these tokens' rows are not there exactly once and whole, in each head.

    Rows of other tokens, and slots never written, may stand between them: a mask excludes those.
    """
    lost: set[int] = set()
    rows = shown[0, :, :, [0, 1, 2, 3, -1]].astype(np.float64)  # (5, rows, kv_heads)
    for head in range(shown.shape[2]):
        low, high, number, which, last = rows[:, :, head]
        right = (which == kind) & (number == head) & (last == low)
        found = (high * DIGIT + low)[right].astype(np.int64)
        counts = np.bincount(found, minlength=tokens.stop)[tokens.start : tokens.stop]
        lost.update((np.flatnonzero(counts != 1) + tokens.start).tolist())
    return sorted(lost)


class Feed:
    """Gives a rival its tokens, in its own layout and form, and looks at what it shows.

    Parameters
    ----------
    rival : Rival
    setup : Setup
        What it was built for.
    """

    def __init__(self, rival: Any, setup: Setup) -> None:
        self.rival, self.setup = rival, setup
        self.seq_len = 0
        self._heads_first = getattr(rival, "layout", "BSHD") == "BHSD"
        self._given = getattr(rival, "given", lambda array: array)
        self._shown = getattr(rival, "shown", np.asarray)

    def rows(self, tokens: int) -> tuple[Any, Any]:
        """Keys and values of the next tokens, as the rival takes them."""
        both = (tagged(self.setup, self.seq_len, tokens, kind) for kind in (KEYS, VALUES))
        keys, values = (self._given(self._turned(rows)) for rows in both)
        return keys, values

    def take(self, tokens: int) -> Any:
        """Update all layers with the next tokens; what the last layer returned."""
        returned = None
        while tokens > 0:
            count = min(tokens, LARGEST_CHUNK)
            keys, values = self.rows(count)
            for layer in range(self.setup.layers):
                returned = self.rival.update(layer, keys, values)
            self.seq_len += count
            tokens -= count
        return returned

    def missing(self, kept: Any, tokens: range) -> list[int]:
        """Which of these tokens are not in what was returned, or, if None, in what is read."""
        if kept is None:
            kept = self.rival.read(self.setup.layers - 1)
        lost: set[int] = set()
        for kind, array in zip((KEYS, VALUES), kept, strict=True):
            lost.update(missing(self._turned(self._shown(array)), kind, tokens))
        return sorted(lost)

    def visible(self, queries: int = 1) -> range:
        """What the newest tokens may attend to, the first of them included."""
        window = self.setup.window
        first = 0 if window is None else self.seq_len - queries + 1 - window
        return range(max(first, 0), self.seq_len)

    def check(self, kept: Any, tokens: range) -> None:
        """Raise WrongRowsError if any of these tokens is not there."""
        lost = self.missing(kept, tokens)
        if lost:
            few = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
            wanted = f"tokens {tokens.start} .. {tokens.stop - 1}"
            raise WrongRowsError(f"expected {wanted} once each, in every head; not so: {few}")

    def _turned(self, rows: Any) -> Any:
        return rows.swapaxes(1, 2) if self._heads_first else rows
