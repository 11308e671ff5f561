"""The ways of `update` besides the fast one: with every check in full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray

from ..checks import (
    checked_layer,
    checked_order,
    checked_padding,
    checked_token_counts,
    checked_tokens,
)
from ..errors import ShapeError
from ..kernels import TICKET
from ..ragged import RIGHT, RaggedPlan
from ..rows import PHYSICAL, TEMPORAL, LayerState, Order, RaggedState
from ..view import KVView, make_view
from .saving import SavingCache
from .steps import write_rows
from .total import what_total_means

__all__ = ["CarefulCache"]


class CarefulCache(SavingCache):
    """What :class:`kvring.KVCache` does with updates that its fast path does not take."""

    def _update_other(
        self,
        layer: int,
        keys: Any,
        values: Any,
        seq_len: int | None,
        token_counts: Iterable[int] | None,
        padding: object,
        order: Order,
    ) -> KVView:
        """Update to a total (law 6), or with padding (law 11)."""
        if token_counts is not None and seq_len is None:
            view = self._update_as_planned(layer, keys, values, token_counts, padding, order)
            if view is not None:
                return view
        side = checked_padding(padding)
        if token_counts is None:
            if seq_len is None:
                return self._update_carefully(layer, keys, values, order)
            return self._update_to_total(layer, keys, values, seq_len, order)
        if seq_len is not None:
            raise ShapeError("seq_len and token_counts: expected one of them, got both")
        ring, steps, lock, _, readers = self._layers[checked_layer(layer, len(self._layers))]
        order = checked_order(order)
        keys, values, count = ring.checked(keys, values)
        given = checked_token_counts(token_counts, len(keys), count, side)
        with lock:
            if not readers:
                return write_rows(ring, steps, keys, values, count, order, given)
        return ring.readers.while_unread(
            lambda: write_rows(ring, steps, keys, values, count, order, given)
        )

    def _update_as_planned(
        self,
        layer: Any,
        keys: Any,
        values: Any,
        token_counts: Any,
        padding: object,
        order: object,
    ) -> KVView | None:
        """A ragged update for which another layer has had the plan made; None if it is another.

        What the fast path of `update` is for batch rows that are alike: it guesses, and leaves the
        shapes to the kernel. Where anything is unlike, nothing has happened yet.
        """
        if layer.__class__ is not int or not 0 <= layer < len(self._layers):
            return None
        ring, steps, lock, written, readers = self._layers[layer]
        plan = steps.apart
        if (
            plan is None
            or plan.assembled
            or not (
                keys.__class__ is ndarray is values.__class__
                and keys.ndim == 4 == values.ndim
                and keys.dtype is ring.dtype is values.dtype
            )
            or (order is not PHYSICAL and order is not TEMPORAL)
            or not (plan.whole if token_counts is None else _asks_for(plan, token_counts, padding))
        ):
            return None
        with lock:
            last = self._ledger[layer]
            if (
                readers
                or (last.ticket != written[TICKET] and last.count)
                or plan.before is not last.after
            ):
                return None
            if ring._try_write(plan, keys, values):
                return None
        return make_view(ring, plan, order)

    def _update_carefully(self, layer: int, keys: Any, values: Any, order: Order) -> KVView:
        """Update with every check in full, for what the fast path does not take."""
        view = self._update_as_planned(layer, keys, values, None, RIGHT, order)
        if view is not None:
            return view
        ring, steps, lock, _, readers = self._layers[checked_layer(layer, len(self._layers))]
        order = checked_order(order)
        keys, values, count = ring.checked(keys, values)
        with lock:
            if not readers:
                return write_rows(ring, steps, keys, values, count, order)
        return ring.readers.while_unread(
            lambda: write_rows(ring, steps, keys, values, count, order)
        )

    def _update_to_total(
        self, layer: int, keys: Any, values: Any, seq_len: int, order: Order
    ) -> KVView:
        """Update in the ``seq_len=`` form (law 6)."""
        number = checked_layer(layer, len(self._layers))
        ring, steps, *_ = self._layers[number]
        order = checked_order(order)
        total = checked_tokens("seq_len", seq_len)
        keys, values, given = ring.checked(keys, values)

        def look() -> KVView:
            return make_view(ring, steps.look_at(ring.state), order)

        def write() -> KVView | None:
            replaces = steps.strategy.replaces
            before = _seq_len_of_all(ring.state, total, replaces=replaces)
            todo = what_total_means(total, before=before, given=given, replaces=replaces)
            if todo.verb != "write":
                return look() if todo.verb == "read" else None
            rows = ring.without_first(todo.skip, keys, values)
            view = write_rows(ring, steps, *rows, given - todo.skip, order)
            return view if given else look()

        def cut() -> KVView:
            view = write()  # with all locks held it may mean something else by now
            if view is None:
                self._truncate([total] * ring.batch)
            return view or look()

        return ring.readers.while_unread(write) or self._change_all(cut)


def _asks_for(plan: RaggedPlan, token_counts: Any, padding: object) -> bool:
    """Whether a plan is for such counts, as far as that can be told in a hurry."""
    if token_counts.__class__ is ndarray:
        if token_counts.dtype != np.int64:
            return False
        token_counts = token_counts.tolist()
    elif token_counts.__class__ is list:
        for count in token_counts:
            if count.__class__ is not int:
                return False
    else:
        return False
    return bool(token_counts == plan.counts and padding is plan.given.padding)


def _seq_len_of_all(state: LayerState, total: int, *, replaces: bool) -> int:
    """The seq_len of all batch rows, to which a total relates; replace mode asks for none."""
    if replaces:
        return 0
    if isinstance(state, RaggedState):
        seq_lens = [one.seq_len for one in state.batch_rows]
        if len(set(seq_lens)) > 1:
            raise ShapeError(
                f"seq_len={total}: batch rows differ, seq_lens are {seq_lens}; use token_counts"
            )
        return seq_lens[0]
    return state.seq_len
