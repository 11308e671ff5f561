"""A divergence as text that a maintainer can paste into an issue."""

from __future__ import annotations

from typing import Any

from ..text import printable
from .divergence import Divergence
from .finding import INVARIANTS
from .notes import setup_in_words
from .picture import ring_picture
from .steps import step_to_json

__all__ = ["report_json", "report_text"]


def report_text(divergence: Divergence) -> str:
    """The whole report: what, where, the steps, both sides, the ring, and the script."""
    finding = divergence.finding
    steps = len(divergence.trace.steps)
    count = f"{steps} step{'' if steps == 1 else 's'}"
    lines = [
        f"broken     {finding.invariant}: {INVARIANTS[finding.invariant]}",
        f"what       {finding.message}",
    ]
    if finding.where:
        lines.append(f"where      {finding.where}")
    for name in divergence.relations:
        if name != finding.invariant:
            lines.append(f"also       {name}: {INVARIANTS[name]}")
            lines.append(f"           ({_RELATED[name]} is judged clean)")
    built = setup_in_words(divergence.trace.setup)
    lines += ["", f"The shortest history found, {count}, on", f"{built}:", ""]
    lines += [f"  {n}. {note}" for n, note in enumerate(_notes(divergence), start=1)]
    if finding.expected or finding.got:
        lines += ["", *_side_by_side(finding.expected, finding.got)]
        lines += _picture(divergence)
    if divergence.snippet:
        lines += ["", "The same without the oracle:", ""]
        lines += [f"    {line}".rstrip() for line in divergence.snippet.splitlines()]
    return printable("\n".join(lines) + "\n")


# What is judged clean where the relation of this name is broken.
_RELATED = {
    "split invariance": "the same tokens one by one",
    "rollback": "the same without the tokens that were dropped",
    "reset": "the same from the reset on",
    "save and load": "the same without saving",
    "disturbed": "the same without the copy",
    "layers agree": "the same with one layer",
}


def _notes(divergence: Divergence) -> tuple[str, ...]:
    if divergence.notes:
        return divergence.notes
    return tuple(str(step_to_json(step)) for step in divergence.trace.steps)


def _side_by_side(expected: tuple[str, ...], got: tuple[str, ...]) -> list[str]:
    """Two columns, oldest first; a mark where a line has no partner."""
    known = set(expected)
    order = [*expected, *[entry for entry in got if entry not in known]]
    order.sort(key=_position)
    width = max([len(entry) for entry in order] + [8]) + 4
    lines = [f"  {'expected':<{width}}got", f"  {'-' * (width - 4)}    {'-' * (width - 4)}"]
    left_over = list(got)
    for entry in order:
        left = entry if entry in known else ""
        right = entry if entry in left_over else ""
        if right:
            left_over.remove(entry)
        mark = "" if left == right else ("    <- missing" if not right else "    <- wrong")
        lines.append(f"  {left:<{width}}{right}{mark}".rstrip())
    lines += [f"  {'':<{width}}{entry}    <- again" for entry in left_over if entry in known]
    return lines


def _position(entry: str) -> tuple[int, str]:
    number = entry.partition(":")[0]
    return (int(number) if number.isdigit() else -1, entry)


def _positions(entries: tuple[str, ...]) -> set[int]:
    return {number for number, _ in map(_position, entries) if number >= 0}


def _picture(divergence: Divergence) -> list[str]:
    finding, setup = divergence.finding, divergence.trace.setup
    if finding.query is None:
        return []
    got = _positions(finding.got)
    expected = set(finding.visible) or _positions(finding.expected)
    plain = all(":" in entry for entry in finding.got) and not finding.visible
    mode = setup.strategies[finding.layer or 0]
    lines = ring_picture(mode, divergence.resident, expected, got if plain else None)
    return ["", "Positions as the contract lays them out:", "", *[f"  {line}" for line in lines]]


def report_json(divergence: Divergence) -> dict[str, Any]:
    """The same as JSON data."""
    finding = divergence.finding
    return {
        "invariant": finding.invariant,
        "says": INVARIANTS[finding.invariant],
        "message": finding.message,
        "layer": finding.layer,
        "batch_row": finding.batch_row,
        "query": finding.query,
        "expected": list(finding.expected),
        "got": list(finding.got),
        "relations": list(divergence.relations),
        "trace": divergence.trace.to_json(),
        "notes": list(_notes(divergence)),
        "snippet": divergence.snippet,
    }
