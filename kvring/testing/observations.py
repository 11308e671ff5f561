"""What backends show, one class for each of the four kinds, and how they say no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "RAISED",
    "BackendBrokeError",
    "Logits",
    "Outputs",
    "Rows",
    "Slots",
    "UnsupportedError",
]

# What a backend may raise and the oracle takes for an answer. `sys.exit` in an adapter would end
# the run without a verdict otherwise, with whatever exit code it names; Ctrl-C must end it.
RAISED = (Exception, SystemExit, GeneratorExit)


class UnsupportedError(Exception):
    """Raised by an adapter: the backend has no such operation or setup. Skipped and counted."""


class BackendBrokeError(Exception):
    """The backend died, hung or answered nonsense. Never a refusal, always a finding.

    Parameters
    ----------
    invariant : {"died", "hung", "nonsense"}
        How it broke.
    message : str
        What it did, in one line.
    """

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(message)
        self.invariant = invariant


@dataclass
class Rows:
    """Rows and the mask that the model would apply.

    Parameters
    ----------
    keys, values : array
        ``(batch, rows, kv_heads, dim)``, or ``(batch, kv_heads, rows, dim)`` for layout BHSD; one
        array for all batch rows, or a list of one per batch row (rows may then differ in number).
    mask : array of bool, optional
        ``(tokens, rows)`` or ``(batch, tokens, rows)``, True = may attend; without it every query
        sees every row. With one array per batch row: a list of ``(tokens, rows)`` masks.
    positions : array of int, optional
        ``(rows,)`` or ``(batch, rows)``: the position of each row, anything where none may attend.
    """

    keys: Any
    values: Any
    mask: Any = None
    positions: Any = None


@dataclass
class Slots:
    """Slot lists of an allocator that never touches K or V.

    Parameters
    ----------
    written : list
        ``written[batch_row][token]``: the slot that the new token's row goes to, any integer.
    visible : list
        ``visible[batch_row][token]``: the slots that this query reads, once all new rows are
        written; in the order in which it reads them.
    copied : list of (int, int)
        Rows copied from slot to slot before anything is written (copy on write).
    """

    written: Any
    visible: Any
    copied: Any = ()


@dataclass
class Outputs:
    """What an attention operator with a hidden cache returned.

    Parameters
    ----------
    outputs : array
        ``(batch, tokens, query_heads, value_dim)``, whatever the layout of K and V.
    """

    outputs: Any


@dataclass
class Logits:
    """What a model with a hidden cache returned.

    Parameters
    ----------
    logits : array
        ``(batch, tokens, vocabulary)``.
    """

    logits: Any
