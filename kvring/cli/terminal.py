"""What commands print with: colours, tables and progress; rich where it is installed.

Colours are for terminals that want them: ``NO_COLOR`` and ``TERM=dumb`` turn them off. Results go
to stdout; progress and complaints to stderr.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from io import StringIO
from itertools import zip_longest
from typing import Protocol, TextIO

__all__ = ["Progress", "coloured", "columns", "has_rich", "paint", "progress", "say", "table"]

_CODES = {
    "bold": "1",
    "dim": "2",
    "seen": "1;32",
    "sink": "1;35",
    "new": "1;33",
    "bad": "31",
}

# In a log: often enough to know that it goes on, seldom enough to be read.
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_REDRAWS = 0.1


def coloured(stream: TextIO | None = None) -> bool:
    """Whether colours are wanted on a stream, stdout if none is given."""
    out = stream or sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return out.isatty()


def paint(text: str, style: str) -> str:
    """`text` in a style, on a terminal that wants colours."""
    if not style or not coloured():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def has_rich() -> bool:
    """Whether the extra `cli` is installed."""
    return find_spec("rich") is not None


def columns() -> int:
    """Characters of a line: those of the terminal, 80 where there is none."""
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table on stdout, numbers to the right.

    Parameters
    ----------
    head : list of str
        One per column; ">" before it is for numbers, "~" for texts that may take several lines.
    rows : list of list of str
    title : str, optional
    """
    if title:
        print(paint(title, "bold"))
    lines = _plain(head, rows) if not has_rich() else _with_rich(head, rows)
    for line in lines:
        print(line.rstrip())
    print()


def _with_rich(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines that fit the terminal: long texts in several."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    fine = (sys.stdout.encoding or "").lower().startswith("utf")
    lines = box.SIMPLE_HEAD if fine else box.ASCII2
    drawn = Table(box=lines, show_edge=False, pad_edge=False, header_style="bold")
    for name in head:
        drawn.add_column(
            name.lstrip(">~"),
            justify="right" if name.startswith(">") else "left",
            no_wrap=not name.startswith("~"),
            overflow="fold",
        )
    for row in rows:
        drawn.add_row(*map(Text, row))
    # Not straight to stdout: rich ends the process by itself when nobody reads any more.
    kept = StringIO()
    console = Console(file=kept, width=columns(), force_terminal=coloured(), highlight=False)
    console.print(drawn)
    return kept.getvalue().splitlines()


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same lines without rich: columns marked "~" share what the others leave."""
    texts = [[name.lstrip(">~") for name in head], *rows]
    widths = [max(len(text[column]) for text in texts) for column in range(len(head))]
    soft = [number for number, name in enumerate(head) if name.startswith("~")]
    too_wide = sum(widths) + 2 * len(widths) - 2 - columns()
    for number in sorted(soft, key=lambda number: -widths[number]) if too_wide > 0 else ():
        narrower = max(widths[number] - too_wide, 16)
        too_wide -= widths[number] - narrower
        widths[number] = narrower
    lines = []
    for number, text in enumerate(texts):
        parts = [textwrap.wrap(cell, width) for cell, width in zip(text, widths, strict=True)]
        for cells in zip_longest(*parts, fillvalue=""):
            both = zip(head, cells, widths, strict=True)
            padded = [f"{c:>{w}}" if name[:1] == ">" else f"{c:{w}}" for name, c, w in both]
            line = "  ".join(padded).rstrip()
            lines.append(paint(line, "bold") if number == 0 else line)
    return lines


def say(text: str, indent: int = 0) -> None:
    """Print prose on stdout, broken into lines where there is a terminal."""
    if sys.stdout.isatty():
        text = textwrap.fill(text, columns() - 1, subsequent_indent=" " * indent)
    print(text)


class Progress(Protocol):
    """What a `progress` block is told."""

    def __call__(self, done: int, job: str, total: int | None = None) -> None:
        """So much is done, and this is going on; and how much there is, if that has changed."""


@contextmanager
def progress(total: int, unit: str) -> Iterator[Progress]:
    """A bar on stderr while the block runs: rich's on a terminal, else a line now and then.

    Parameters
    ----------
    total : int
        How many units there are.
    unit : str
        What they are, such as "kernels".
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _told(total, unit, SECONDS_BETWEEN_LINES, "", "\n")
        return
    if not has_rich():
        with _one_line(total, unit) as tell:
            yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, no_color=not coloured(sys.stderr), highlight=False)
    count = TextColumn(unit)
    parts = (BarColumn(24), MofNCompleteColumn(), count, TimeElapsedColumn())
    job_column = TextColumn("{task.description}", markup=False)
    with Bar(*parts, job_column, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(done: int, job: str, total: int | None = None) -> None:
            bar.update(task, completed=done, description=job, total=total)

        yield tell


@contextmanager
def _one_line(total: int, unit: str) -> Iterator[Progress]:
    """One line of a terminal, written again and again, and empty at the end."""
    try:
        yield _told(total, unit, SECONDS_BETWEEN_REDRAWS, "\r\x1b[K", "")
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _told(total: int, unit: str, seconds: float, begin: str, end: str) -> Progress:
    """What prints a line, not more often than every so many seconds."""
    last, all_of_it = time.monotonic(), total

    def tell(done: int, job: str, total: int | None = None) -> None:
        nonlocal last, all_of_it
        all_of_it = total or all_of_it
        if time.monotonic() - last < seconds:
            return
        last = time.monotonic()
        line = f"{done:,} of {all_of_it:,} {unit}: {job}"[: columns() - 1]
        print(f"{begin}{line}", end=end, file=sys.stderr, flush=True)

    return tell
