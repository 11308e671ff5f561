"""Planted faults: caches that are wrong in ways that only threads or interrupts show.

Each takes one token at a time, written by NumPy instead of a kernel: what is wrong is the order in
which things happen, and that stands in `_store`. The harness must find all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring import KVCache, KVView
from kvring.kernels import TICKET
from kvring.plan import Move, Plan
from kvring.ring import RingBuffer
from kvring.rows import Order
from kvring.view import make_view

from .points import Points


class FaultyCache(KVCache):
    """A cache whose update goes through `_store`. This one is right: the measure."""

    points = Points()

    def update(
        self, layer: int, keys: Any, values: Any, *, seq_len: Any = None, order: Order = "temporal"
    ) -> KVView:
        if seq_len is not None or keys.shape[1] != 1:
            return super().update(layer, keys, values, seq_len=seq_len, order=order)
        return make_view(self.rings[layer], self._store(layer, keys, values), order)

    def _store(self, layer: int, keys: Any, values: Any) -> Plan:
        ring = self.rings[layer]

        def store() -> Plan:
            plan = self._plan(layer)
            self._ledger[layer] = plan
            self.points.at()
            self._rows_and_ticket(ring, plan, keys, values)
            return plan

        return ring.readers.while_unread(store)

    def _plan(self, layer: int) -> Plan:
        return self._steps[layer].plan_for(self.rings[layer].state, 1)

    @staticmethod
    def _rows_and_ticket(ring: RingBuffer, move: Move, keys: Any, values: Any) -> None:
        ring._keys[:, move.slot] = keys[:, 0]
        ring._values[:, move.slot] = values[:, 0]
        ring._block[TICKET] = move.ticket


class KeysThenValues(FaultyCache):
    """K and V are published separately, each under the lock."""

    def _store(self, layer: int, keys: Any, values: Any) -> Plan:
        ring = self.rings[layer]

        def store_keys() -> Plan:
            plan = self._plan(layer)
            ring._keys[:, plan.slot] = keys[:, 0]
            self._ledger[layer] = plan
            ring._block[TICKET] = plan.ticket
            return plan

        def store_values() -> None:
            ring._values[:, plan.slot] = values[:, 0]

        plan = ring.readers.while_unread(store_keys)
        ring.readers.while_unread(store_values)
        return plan


class TornPositions(FaultyCache):
    """The state is written in two halves; whoever asks for positions takes no lock."""

    def _store(self, layer: int, keys: Any, values: Any) -> Plan:
        ring = self.rings[layer]

        def store() -> Plan:
            plan = self._plan(layer)
            before, after = plan.before, plan.after
            self._rows_and_ticket(ring, plan, keys, values)
            self._ledger[layer] = Move.at_rest(before._replace(seq_len=after.seq_len))
            self.points.at()
            self._ledger[layer] = plan
            return plan

        return ring.readers.while_unread(store)


class CopyThenPublish(FaultyCache):
    """Rows first, state after: an interrupt in between costs a full ring a row it still counts."""

    def _store(self, layer: int, keys: Any, values: Any) -> Plan:
        ring = self.rings[layer]
        with ring.lock:
            plan = self._plan(layer)
            np.copyto(ring._keys[:, plan.slot], keys[:, 0])  # signals arrive when a call returns
            np.copyto(ring._values[:, plan.slot], values[:, 0])
            self._ledger[layer] = plan
            ring._block[TICKET] = plan.ticket
        return plan


class AcquireThenTry(FaultyCache):
    """The lock is taken in a line of its own, and given back in a `finally`."""

    def _store(self, layer: int, keys: Any, values: Any) -> Plan:
        ring = self.rings[layer]
        ring.lock.acquire()
        try:
            plan = self._plan(layer)
            ring._write(plan, keys, values)
        finally:
            ring.lock.release()
        return plan
