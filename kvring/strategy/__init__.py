"""WHERE rows go: (state, count) -> plan. Pure integers; no array of keys ever comes here."""

from __future__ import annotations

from ..config import Append, Circular, Mode
from .append import AppendStrategy
from .base import Strategy
from .circular import CircularStrategy
from .replace import ReplaceStrategy

__all__ = ["AppendStrategy", "CircularStrategy", "ReplaceStrategy", "Strategy", "strategy_for"]


def strategy_for(mode: Mode) -> Strategy:
    """The strategy that carries out a configured mode."""
    if isinstance(mode, Append):
        return AppendStrategy(mode)
    if isinstance(mode, Circular):
        return CircularStrategy(mode)
    return ReplaceStrategy(mode)
