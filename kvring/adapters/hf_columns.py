"""Columns: which position each column of a mask stands for, behind transformers' mask sizes.

Mask functions of transformers know a cache's rows by two integers, length and offset, and take
``arange(length) + offset`` for their positions. A ring that has wrapped shows its rows in slot
order, which no such sum gives. So the offset is an int that answers the addition itself::

    slots show positions     8  9  5  6  7          (window 5)
    arange(5) + offset       8  9  5  6  7          an ordinary int 5 would give 5 6 7 8 9

Everything that is made of these positions then fits slot order: causality, windows, padding, and
what a caller adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .tensors import tensor_of

if TYPE_CHECKING:
    from ..rows import Rows
    from .hf_config import LayerKind

__all__ = ["Columns"]


class Columns(int):
    """The offset of a mask's columns.

    As an int it is what a cache in temporal order would say: the newest position, less the columns
    before it.

    Parameters
    ----------
    rows : Rows
        What the coming update will show.
    kind : LayerKind
        The layer, and the window of the model's own mask.
    """

    rows: Rows
    kind: LayerKind

    def __new__(cls, rows: Rows, kind: LayerKind) -> Columns:
        columns = super().__new__(cls, rows.queries.stop - rows.count)
        columns.rows = rows
        columns.kind = kind
        return columns

    @property
    def are_consecutive(self) -> bool:
        """Whether an ordinary int would do."""
        if self.rows.planner.window is None:
            return True
        return bool((np.diff(self.rows.positions) == 1).all())

    @property
    def positions(self) -> torch.Tensor:
        """Position of each column, int64 ``(columns,)``.

        A slot that holds no row gets a position that no query sees: the first one behind the
        sinks. There are such slots only after a truncate of a wrapped ring, and whatever is left
        there is further on than sinks and window together.
        """
        positions = self.rows.positions
        return torch.from_numpy(np.where(positions < 0, self.rows.planner.sink_tokens, positions))

    @property
    def is_causal(self) -> bool:
        """Whether each query sees all columns up to its own, or there is one that sees all."""
        rows, window = self.rows, self.rows.planner.window
        tokens = len(rows.queries)
        if tokens == 1:
            return window is None or bool(rows.mask.all())
        return rows.count == tokens and (window is None or tokens <= window)

    def mask(self) -> torch.Tensor:
        """Who may attend to what where nothing is padding: bool ``(1, 1, queries, columns)``."""
        return tensor_of(self.rows.mask)[None, None]

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Positions of the columns that are added to; an ordinary int for all else."""
        if function in ADDITIONS and len(args) == 2 and isinstance(args[1], cls):
            return args[1].positions[args[0]]
        plain = [int(argument) if isinstance(argument, cls) else argument for argument in args]
        return function(*plain, **(kwargs or {}))


ADDITIONS = (torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__, torch.add)
