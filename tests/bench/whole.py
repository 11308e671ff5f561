"""The section about whole generation: runs it in a process of its own, and makes tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

EXPLAINED = """\
SmolLM2-135M in NumPy (the model of `make demo`), float32 weights, one thread; contestants take
turns token by token after the same prompt. Tokens a second, and in brackets how many times as fast
as *obvious*, and as *best plain NumPy*. The model's own matrix products are in it.

![generation](benchmarks/generation.svg)
"""
ROOT = Path(__file__).parents[2]


def run(contexts: list[int]) -> dict[str, Any] | None:
    """What generation.py measured, or None where the demo's packages are missing."""
    command = [sys.executable, "-m", "tests.bench.generation", "--contexts", *map(str, contexts)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    return json.loads(done.stdout) if done.returncode == 0 else None


def tables(found: dict[str, Any] | None) -> str:
    """One row for each contestant, and the window at two positions."""
    lines = ["\n## Whole generation\n"]
    if found is None:
        return "\n".join([*lines, "Not measured in this run.\n"])
    lines.append(EXPLAINED)
    contexts = list(found["contexts"])
    heads = [f"{int(context):,} tokens of context" for context in contexts]
    lines += ["| | " + " | ".join(heads) + " |", "|---" * (len(contexts) + 1) + "|"]
    for name in found["contexts"][contexts[0]]:
        cells = []
        for context in contexts:
            line = found["contexts"][context][name]
            first, second = line["against"]
            cells.append(f"{line['tokens_per_second']:.1f} ({first:.2f}, {second:.2f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    others = [
        f"{name} at {int(context):,}: token {line['first_other_token']}"
        for context in contexts
        for name, line in found["contexts"][context].items()
        if line["first_other_token"]
    ]
    lines.append(
        "\nFirst token that differs from *obvious*: " + ("; ".join(others) or "none") + ".\n"
    )
    (low, slow), (high, fast) = found["window"].items()
    lines.append(
        f"A window of 1,024 with 4 sinks: {slow['tokens_per_second']:.1f} tokens/s at position"
        f" {int(low):,}, {fast['tokens_per_second']:.1f} at {int(high):,}"
        f" ({fast['against'][0]:.2f} times).\n"
    )
    return "\n".join(lines)
