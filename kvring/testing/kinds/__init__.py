"""The four kinds of observation: what goes into an update, and how what comes back is judged."""

from __future__ import annotations

from ..setup import Setup
from ..supports import Supports
from .kind import Kind
from .logits import LogitsKind
from .outputs import OutputsKind
from .rows import RowsKind
from .slots import SlotsKind

__all__ = ["KINDS", "Kind", "kind_of"]

KINDS: dict[str, type[Kind]] = {
    "rows": RowsKind,
    "slots": SlotsKind,
    "outputs": OutputsKind,
    "logits": LogitsKind,
}


def kind_of(setup: Setup, supports: Supports) -> Kind:
    """A judge of what a backend of this declaration shows."""
    return KINDS[supports.observes](setup, supports)
