"""WHAT attention weights come to, row by row: their sums, or the largest of them.

Weights are at least 0, and the words of such floats, read as integers, are in the order of the
floats, with infinity and NaN last. So the largest is found among integers, which LLVM does many at
a time without leave to reorder floats, and one OR over all words says whether a sign was set.
Sums are taken in order, weight by weight, each row in a cell of its own.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from . import _jit

__all__ = ["largest_by_row", "sum_by_row"]

# Rows at a time, so that their cells stay in the first cache while all queries go by.
BLOCK = 1024


@_jit.helper
def _add(cells: NDArray[Any], row: NDArray[Any]) -> None:
    for r in range(row.shape[0]):
        cells[r] += row[r]


@_jit.helper
def _raise(cells: NDArray[Any], row: NDArray[Any]) -> None:
    for r in range(row.shape[0]):
        cells[r] = max(cells[r], row[r])


@_jit.helper
def _signs(row: NDArray[Any]) -> Any:
    """All words or-ed: below 0 if a sign is set in one of them."""
    signs = row[0] & row[0]
    for r in range(row.shape[0]):
        signs |= row[r]
    return signs


def sum_by_row(words: NDArray[Any], weights: NDArray[Any], sums: NDArray[Any]) -> int:
    """Add ``weights[b, h, q, r]`` to ``sums[b, r]``, float64; negative if a sign was set.

    Unchecked: `words` is the memory of `weights`, ``(batch, query_heads, queries, rows)``.
    """
    signs = words[0, 0, 0, 0]
    for b in range(weights.shape[0]):
        for start in range(0, weights.shape[3], BLOCK):
            stop = min(start + BLOCK, weights.shape[3])
            for h in range(weights.shape[1]):
                for q in range(weights.shape[2]):
                    cells = sums[b, start:stop]
                    signs |= _signs(words[b, h, q, start:stop])
                    _add(cells, weights[b, h, q, start:stop])
    return -1 if signs < 0 else 0


def largest_by_row(words: NDArray[Any], largest: NDArray[Any]) -> int:
    """Raise ``largest[b, r]`` to ``words[b, h, q, r]``; negative if a sign was set.

    Unchecked: words are the integers of floats, and so is the result.
    """
    signs = words[0, 0, 0, 0]
    for b in range(words.shape[0]):
        for start in range(0, words.shape[3], BLOCK):
            stop = min(start + BLOCK, words.shape[3])
            for h in range(words.shape[1]):
                for q in range(words.shape[2]):
                    row = words[b, h, q, start:stop]
                    signs |= _signs(row)
                    _raise(largest[b, start:stop], row)
    return -1 if signs < 0 else 0
