"""Measure everything side by side and write docs/benchmarks.md: ``make bench``.

``--quick``: a first table on the terminal within two minutes; nothing is written. ``--parts``: run
only some parts and take the others from the last saved run, so that a long run can be split.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from . import beside, machine, plots, sections, whole

DOCS = Path(__file__).parents[2] / "docs"
PAGE, SAVED, PICTURES = DOCS / "benchmarks.md", DOCS / "benchmarks.json", DOCS / "benchmarks"
PARTS = ("beside", "generation", "core")


def header(facts: dict[str, Any], measured_at: dict[str, str]) -> str:
    """What was measured, on what, and how."""
    stamps = "; ".join(f"{part}: {stamp}" for part, stamp in measured_at.items())
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    settings = ", ".join(f"{name}={value}" for name, value in facts["settings"].items()) or "none"
    return f"""# Benchmarks

Written by `make bench` on {facts["date"]}; do not edit by hand. The numbers are in
[benchmarks.json](benchmarks.json) too; `make bench-quick` prints a first table within two minutes.
How to measure a cache of your own: [own-cache.md](own-cache.md).

| | |
|---|---|
| machine | {facts["machine"]} |
| versions | kvring {facts["kvring"]} ({facts["commit"]}), Python {facts["python"]}, {versions} |
| BLAS of NumPy | {facts["blas"]} |
| settings | {settings} |
| measured at | {stamps} |

**Method.** Contestants take turns in one process (A B C, C B A, ...); a ratio is the median of the
ratios within each round, so stretches in which the machine is slow fall on all alike. Times are
medians, for orientation; compare them only within a column. Results are checked before they are
timed: every row that a query may see, in every head, and attention against float64. Garbage
collection is off while measuring. Every body is also run, untimed, by `make test`.

**Limits.** A virtual machine with other tenants. A batch of one. Rivals that allocate memory in
every step pay for its pages, as they would in a model. Libraries made for GPUs run on a processor
here.

**Rivals left out.** llama.cpp and vLLM: their caches are inside an engine and have no update of
their own to time. JAX, and StaticCache under `torch.compile`: compiled for every shape; here only
what runs uncompiled is measured.

![update](benchmarks/update.svg)

![attention](benchmarks/attention.svg)
"""


def core() -> str:
    """The sections that compare kvring with bare NumPy, as Markdown."""
    parts = ["\n# Against bare NumPy\n"]
    for number, section in enumerate(sections.ALL, 1):
        title = (section.__doc__ or "").splitlines()[0]
        print(f"[{number}/{len(sections.ALL)}] {title}", file=sys.stderr, flush=True)
        parts.append(section())
    return "\n".join(parts)


def measured(parts: list[str], seconds: float, contexts: list[int]) -> dict[str, Any]:
    """The parts asked for; those of the last saved run in place of the others."""
    saved: dict[str, Any] = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    found = {name: saved.get(name) for name in PARTS}
    found["facts"] = machine.facts()
    found["compared"] = saved.get("compared", "")
    stamp = f"{found['facts']['date']}, {found['facts']['commit']}"
    found["measured_at"] = saved.get("measured_at", {}) | dict.fromkeys(parts, stamp)
    if "beside" in parts:
        found["beside"] = beside.run(quick=False, seconds=seconds)
        found["compared"] = beside.compared(found["beside"], saved.get("beside") or [])
    if "generation" in parts:
        print("whole generation", file=sys.stderr, flush=True)
        found["generation"] = whole.run(contexts)
    if "core" in parts:
        found["core"] = core()
    return found


def _deeper(text: str) -> str:
    """A part of the page that begins with a title of its own: every heading one step down."""
    return re.sub(r"^(?=#+ )", "#", text, flags=re.MULTILINE)


def write(found: dict[str, Any]) -> None:
    """The page, the pictures and the data behind them."""
    PICTURES.mkdir(exist_ok=True)
    records = found["beside"] or []
    plots.update(records, PICTURES / "update.svg")
    plots.attention(records, PICTURES / "attention.svg")
    plots.generation(found["generation"], PICTURES / "generation.svg")
    SAVED.write_text(json.dumps(found, indent=1) + "\n")
    parts = [
        header(found["facts"], found["measured_at"]),
        _deeper(beside.tables(records)),
        whole.tables(found["generation"]),
    ]
    PAGE.write_text("\n".join([*parts, _deeper(found["core"] or ""), found["compared"]]))
    print(f"wrote {PAGE.name}, {SAVED.name} and {PICTURES.name}/ in docs", file=sys.stderr)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=1.5, help="for the rounds of a case")
    parser.add_argument("--contexts", type=int, nargs="+", default=[256, 4096, 8000])
    options = parser.parse_args()
    if options.quick:
        beside.run(quick=True, seconds=1.0)
    else:
        write(measured(options.parts, options.seconds, options.contexts))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing was written")
