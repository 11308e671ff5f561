"""What one pytest run holds: the rivals chosen, and the case whose contestants are alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .catalogue import Case, cases
from .group import Group, build
from .rival import load
from .rivals import ATTENTION, CACHES, OURS

__all__ = ["BenchSession", "quantity"]


@dataclass
class BenchSession:
    """Rivals by name, and one `Group` at a time: all of them together would need much memory."""

    caches: Mapping[str, str]
    attention: Mapping[str, str]
    quick: bool = False
    seconds: float = 2.0
    lines: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    _group: Group | None = None

    @classmethod
    def from_options(cls, option: Any) -> BenchSession:
        """What the command line asks for.

        Raises
        ------
        ValueError
            If a factory is not there.
        """
        for name in (*option.kvring_rival, *option.kvring_attention_rival):
            load(name)
        every = option.kvring_all
        return cls(
            _chosen(CACHES, option.kvring_rival, every),
            _chosen(ATTENTION, option.kvring_attention_rival, every),
            quick=option.kvring_quick,
            seconds=option.kvring_seconds,
        )

    def pairs(self) -> list[tuple[Case, str]]:
        """Every case with every rival, those of a case together."""
        return [(case, name) for case in cases(quick=self.quick) for name in self.rivals_of(case)]

    def rivals_of(self, case: Case) -> Mapping[str, str]:
        """Who is asked to take part in a case."""
        return self.attention if case.operation == "attention" else self.caches

    def group(self, case: Case, *, timed: bool) -> Group:
        """The case's contestants, built and checked, and timed in turns if that is wanted."""
        if self._group is None or self._group.case is not case:
            self.close()
            self._group = build(case, self.rivals_of(case))
            if timed:
                self._group.measure(self.seconds)
                self.lines += _summary(self._group)
                self.records += _records(self._group)
        return self._group

    def close(self) -> None:
        """Let go of the contestants."""
        if self._group is not None:
            self._group.close()
            self._group = None


def _chosen(known: Mapping[str, str], named: list[str], every: bool) -> dict[str, str]:
    """kvring, all that ship with it if wanted, and those that the user names."""
    if not named and not every:
        return {}
    shipped = dict(known) if every else {OURS: known[OURS]}
    return shipped | {name: name for name in named}


def quantity(value: float, operation: str) -> str:
    """A number with the unit that suits it.

    Examples
    --------
    >>> quantity(0.0000021, "update"), quantity(3_500_000, "memory")
    ('2.1 us', '3.5 MB')
    """
    if operation == "memory":
        return f"{value / 1e6:.1f} MB"
    for scale, unit in ((1e6, "us"), (1e3, "ms")):
        if value * scale < 1000:
            return f"{value * scale:.3g} {unit}"
    return f"{value:.2f} s"


def _summary(group: Group) -> list[str]:
    names = [*group.contestants, *group.failed]
    if not names:
        return []
    lines = ["", group.case.title]
    for name in names:
        value, ratio = group.value(name), group.ratio(name)
        if value is None:
            lines.append(f"  {name:28} not timed: {group.failed.get(name, '')}")
            continue
        times = "" if ratio is None else f"{ratio:9.2f} times {OURS}"
        notes = "; ".join(group.notes[name])
        lines.append(f"  {name:28}{quantity(value, group.case.operation):>10}{times}  {notes}")
    return lines


def _records(group: Group) -> list[dict[str, Any]]:
    """What was measured, one record for each rival; those left out with the reason."""
    case = group.case
    names = [*group.contestants, *group.skipped, *group.failed]
    return [
        {
            "operation": case.operation,
            "family": case.family,
            "column": case.column,
            "rival": name,
            "value": group.value(name),
            "ratio": group.ratio(name),
            "notes": group.notes.get(name, []),
            "left_out": group.skipped.get(name) or group.failed.get(name),
        }
        for name in names
    ]
