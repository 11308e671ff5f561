"""What one query must and may see."""

from __future__ import annotations

from dataclasses import dataclass

from .names import Token

__all__ = ["Entry", "QueryTruth"]

Entry = tuple[int, Token]  # (position, token)


@dataclass(frozen=True)
class QueryTruth:
    """What one query sees.

    Parameters
    ----------
    position : int
        Of the query; -1 where there is no token.
    must : list of (int, token)
        Positions and tokens that it sees, oldest first.
    may : list of (int, token)
        Older ones that the declaration lets it see besides.
    index : int
        The query's place on the token axis, which padding shifts.
    """

    position: int
    must: list[Entry]
    may: list[Entry]
    index: int
