"""What a second thread gives to `attend`, beside what it gives to a plain read."""

from __future__ import annotations

from typing import Any

from kvring.bench import Contestant, measure
from kvring.bench.attention import given_rows
from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.rivals.attend_in_place import AttendInPlace
from kvring.bench.rivals.plain_read import PlainRead

__all__ = ["two_threads"]


def two_threads(sizes: tuple[int, ...] = (4096, 16_384, 65_536), rounds: int = 60) -> str:
    """Attention by two threads against one, in one run."""
    lines = [
        "\n## Attention by two threads\n",
        "8 x 128, 32 query heads; times as fast as by one thread, in one run. *Plain read*: the",
        "same bytes read once. Asked: 1.7, or 80 % of two threads that read, whichever is less.\n",
        "| dtype | rows | attend, by two | plain read, by two | attend to plain read, by two |",
        "|---|---|---|---|---|",
    ]
    for dtype in ("float32", "float16"):
        for rows in sizes:
            lines.append(f"| {dtype} | {rows:,} | {_ratios(dtype, rows, rounds)} |")
    return "\n".join(lines) + "\n"


def _ratios(dtype: str, rows: int, rounds: int) -> str:
    rivals: dict[str, Any] = {}
    for threads in (1, 2):
        setup = AttentionSetup(8, 32, 128, dtype, rows, threads)
        for kind in (AttendInPlace, PlainRead):
            rival = rivals[f"{kind.__name__} {threads}"] = kind(setup)
            rival.load(*given_rows(setup))
    result = measure({name: Contestant(rival.attend) for name, rival in rivals.items()}, rounds)
    for threads in (1, 2):
        rivals[f"PlainRead {threads}"].close()
    return (
        f"{result.ratio('AttendInPlace 1', to='AttendInPlace 2'):.2f}"
        f" | {result.ratio('PlainRead 1', to='PlainRead 2'):.2f}"
        f" | {100 / result.ratio('AttendInPlace 2', to='PlainRead 2'):.0f} %"
    )
