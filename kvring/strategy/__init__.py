"""WHERE rows go: (state, count) -> plan. Pure integers; no array of keys ever comes here."""

from __future__ import annotations

from ..config import Append, Circular, Mode
from .apart import advanced, look_apart, truncated
from .append import AppendStrategy
from .base import Strategy
from .circular import CircularStrategy
from .evicting import EvictingStrategy
from .replace import ReplaceStrategy

__all__ = [
    "AppendStrategy",
    "CircularStrategy",
    "EvictingStrategy",
    "ReplaceStrategy",
    "Strategy",
    "advanced",
    "look_apart",
    "strategy_for",
    "truncated",
]


def strategy_for(mode: Mode, batch: int = 1) -> Strategy:
    """The strategy that carries out a configured mode; with eviction, in one layer."""
    if isinstance(mode, Append):
        if mode.eviction is not None:
            return EvictingStrategy(mode, batch)
        return AppendStrategy(mode)
    if isinstance(mode, Circular):
        return CircularStrategy(mode)
    return ReplaceStrategy(mode)
