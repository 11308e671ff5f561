"""All contestants side by side: runs the plugin, and makes tables of what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from kvring.bench.rivals import OURS
from kvring.bench.session import quantity

ROOT = Path(__file__).parents[2]
Record = dict[str, Any]

EXPLAINED = {
    "update": """
One token into one layer, and what comes back unpacked. The lower bound, *bare slices*, checks
nothing, knows no positions and gives a chunk no view.""",
    "chunk": """
A chunk into full rings. It is cheap where rows that its early queries need are thrown away first:
the notes say whose are.""",
    "prefill": """
A prompt into a new cache, whose memory is fresh. NumPy and torch get pages of 2 MiB from the
system, which come several times as fast as the 4 KiB that kvring asks for so that a single token
commits little; `huge_pages=True` changes that. mlx keeps the array it was given, since its arrays
cannot change.""",
    "read": """
Handing out keys and values. kvring finds out whether its views are of this moment and makes them
read-only.""",
    "truncate": """
Dropping the four newest tokens of all layers.""",
    "attention": """
One query over all rows, which each contestant has in the form that suits it best. The others have
run in between, so rows come from main memory, as in a model of many layers. *plain read* is no
rival: the same bytes, read once.""",
    "memory": """
Bytes that become resident in a process of its own, 32,768 tokens reserved. The rows of 10,000
tokens are 61.4 MB, those of the window 6.3 MB.""",
    "first use": """
A process of its own, from the first import after NumPy to the end of the first update.""",
}


def run(*, quick: bool, seconds: float) -> list[Record]:
    """Time all cases in a pytest of their own, which shows its progress."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "measured.json"
        command = [sys.executable, "-m", "pytest", "--benchmark-only", "--kvring-all"]
        command += [f"--kvring-json={written}", f"--kvring-seconds={seconds}"]
        command += ["--kvring-quick"] if quick else ["--benchmark-quiet", "--no-summary"]
        command += [
            "-o",
            "addopts=",
            "-o",
            "console_output_style=progress",
            "-p",
            "no:cacheprovider",
        ]
        done = subprocess.run(
            [*command, "--benchmark-columns=median,rounds,iterations"], check=False, cwd=ROOT
        )
        if not written.exists():
            raise RuntimeError(f"pytest ended with {done.returncode} and measured nothing")
        return list(json.loads(written.read_text()))


def tables(records: list[Record]) -> str:
    """A table for each family of shapes: contestants down, shapes across."""
    families: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        families[record["operation"], record["family"]].append(record)
    lines = ["\n# Side by side\n"]
    lines += ["Each cell: the median, and how many times kvring's time (or memory) that is.\n"]
    before = None
    for (operation, family), some in families.items():
        if operation != before:
            lines += [f"\n## {operation.capitalize()}\n", EXPLAINED[operation].strip() + "\n"]
            before = operation
        lines += [f"**{operation}: {family}**\n", *_table(operation, some), ""]
    return "\n".join([*lines, *_left_out(records)]) + "\n"


def _table(operation: str, records: list[Record]) -> list[str]:
    columns = list(dict.fromkeys(record["column"] for record in records))
    rows: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        if record["value"] is not None:
            rows[record["rival"]][record["column"]] = record
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    notes = []
    for name, cells in rows.items():
        shown = [_cell(operation, cells.get(column)) for column in columns]
        bold = f"**{name}**" if name == OURS else name
        lines.append(f"| {bold} | " + " | ".join(shown) + " |")
        notes += [
            f"{name}, {column}: {'; '.join(cell['notes'])}"
            for column, cell in cells.items()
            if cell["notes"]
        ]
    return [*lines, *(["\nNotes: " + ". ".join(notes) + "."] if notes else [])]


def _cell(operation: str, record: Record | None) -> str:
    if record is None:
        return ""
    ratio = record["ratio"]
    times = "" if ratio is None else f" ({ratio:.2f})" if ratio < 100 else f" ({ratio:,.0f})"
    return quantity(record["value"], operation) + times


def _left_out(records: list[Record]) -> list[str]:
    """Who did not take part, and why."""
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        if record["left_out"]:
            operations = reasons[record["rival"], record["left_out"]]
            if record["operation"] not in operations:
                operations.append(record["operation"])
    lines = ["\n## Left out\n", "| rival | where | why |", "|---|---|---|"]
    return lines + [
        f"| {name} | {', '.join(where)} | {why} |" for (name, why), where in reasons.items()
    ]


def compared(records: list[Record], saved: list[Record]) -> str:
    """What has changed since the last saved run: ratios, which a slow stretch does not move."""
    keys = ("operation", "family", "column", "rival")
    old = {tuple(r[key] for key in keys): r["ratio"] for r in saved}
    moved = []
    for record in records:
        name = tuple(record[key] for key in keys)
        then, now = old.get(name), record["ratio"]
        if then and now and record["rival"] != OURS:
            moved.append((now / then, name, then, now))
    if not moved:
        return "\n## Since the last saved run\n\nNothing to compare with.\n"
    moved.sort()
    small = [each for each in moved if 1 / 1.25 < each[0] < 1.25]
    lines = ["\n## Since the last saved run\n"]
    lines.append(
        f"{len(small)} of {len(moved)} ratios are within a quarter of what they were. A change"
        " below 1: kvring has lost against that rival. The largest changes:\n"
    )
    lines += ["| case | rival | ratio then | now | change |", "|---|---|---|---|---|"]
    far = [*moved[:5], *moved[-5:]] if len(moved) > 10 else moved
    for change, (operation, family, column, rival), then, now in far:
        lines.append(
            f"| {operation}: {column}, {family} | {rival} | {then:.2f} | {now:.2f} | {change:.2f} |"
        )
    return "\n".join(lines) + "\n"
