"""Batch rows that go apart, are moved, copied and added, in layers whose sizes change.

All that the machine of ragged batches does, and surgery and resize between. `often` says how
many runs of up to 40 steps there are.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.often import often
from tests.property.comparing import outcome, refuse
from tests.property.test_ragged_machine import RaggedMachine

MOST = 5  # batch rows
NUMBERS = st.one_of(st.none(), st.integers(0, 14))


class SurgeryMachine(RaggedMachine):
    """The rules that change which batch rows there are, and how much layers hold."""

    @rule(rows=st.lists(st.integers(0, MOST - 1), min_size=MOST, max_size=MOST))
    def reorder(self, rows: list[int]) -> None:
        batch = self.cache.batch
        self.change(lambda of: of.reorder([row % batch for row in rows[:batch]]))

    @rule(rows=st.lists(st.integers(0, MOST - 1), min_size=1, max_size=MOST, unique=True))
    def select(self, rows: list[int]) -> None:
        """Those of them that there are; refused if there is none."""
        self.change(lambda of: of.select([row for row in rows if row < self.cache.batch]))

    @rule(times=st.integers(0, 3))
    def repeat(self, times: int) -> None:
        if times * self.cache.batch <= MOST:
            self.change(lambda of: of.repeat(times))

    @rule(
        whose=st.sampled_from(["itself", "a copy", "an older copy"]),
        keep=st.integers(0, MOST - 1),
        back=st.integers(0, 3),
    )
    def add_batch_rows(self, whose: str, keep: int, back: int) -> None:
        """Of a copy one batch row, somewhat shorter; older ones may have had other sizes."""
        other: Any = (self.cache, self.reference)
        if whose == "an older copy" and self.shelved:
            other = self.shelved[0]
        if whose != "itself":
            other = tuple(of.copy() for of in other)
            shorter = [max(min(lens) - back, 0) for lens in zip(*other[1].seq_lens, strict=True)]
            if outcome(lambda: other[1].truncate(shorter))[0] is None:
                other[0].truncate(shorter)
            for of in other:
                of.select([keep % of.config.batch])
        if self.cache.batch + other[0].batch <= MOST:
            done = self.both(
                lambda: self.reference.add_batch_rows(other[1]),
                lambda: self.cache.add_batch_rows(other[0]),
            )
            if done:
                self.expire(self.layers)

    @rule(capacity=NUMBERS, window=NUMBERS, rollback_tokens=NUMBERS, of_mode=st.booleans())
    def resize(self, of_mode: bool, **numbers: int | None) -> None:
        """Any numbers, or those alone that some layer has."""
        modes = [layer.strategy for layer in self.cache.config.layers]
        if of_mode:
            numbers = {n: v for n, v in numbers.items() if any(hasattr(m, n) for m in modes)}
            if not any(hasattr(mode, "window") for mode in modes):
                numbers.pop("window", None)
            if all(hasattr(mode, "window") for mode in modes):
                numbers.pop("capacity", None)
        self.change(lambda of: of.resize(**numbers))

    @rule(rows=st.lists(st.integers(-1, MOST), max_size=MOST), verb=st.sampled_from("rs"))
    def wrong_batch_rows(self, rows: list[int], verb: str) -> None:
        """Refused by the reference, or done by both."""
        name = {"r": "reorder", "s": "select"}[verb]
        would = self.reference.copy()
        refused, _ = outcome(lambda: getattr(would, name)(rows))
        if refused is not None:
            refuse(refused, lambda: getattr(self.cache, name)(rows))

    def give(
        self,
        layer: int,
        tokens: int,
        order: str,
        counts: list[int] | None = None,
        padding: str = "right",
        *,
        as_array: bool = False,
    ) -> None:
        each = counts and (counts * MOST)[: self.cache.batch]
        super().give(layer, tokens, order, each, padding, as_array=as_array)


TestSurgery = SurgeryMachine.TestCase
TestSurgery.settings = settings(
    max_examples=often(40, at_least=10),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
