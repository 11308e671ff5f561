"""The oracle: the contract carried out on plain lists of rows, so that it can be checked by eye.

`sequence` is one token sequence in one layer and batch row, `forgetting` who gives way in it;
`cache`, with `eviction` and `resize`, is made of sequences; `arguments` checks its calls.
"""

from .cache import ReferenceCache, ReferenceView, Row, TokenSequence

__all__ = ["ReferenceCache", "ReferenceView", "Row", "TokenSequence"]
