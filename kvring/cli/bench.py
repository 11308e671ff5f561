"""``kvring bench``: caches side by side on this machine, in a table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, get_args

from ..errors import ConfigError
from ..text import counted, quoted
from .terminal import progress, say, table

if TYPE_CHECKING:
    from ..bench.catalogue import Case
    from ..bench.group import Group
    from ..bench.session import BenchSession
    from .parser import Parser

__all__ = ["fill"]

EPILOG = """\
examples:
  kvring bench
  kvring bench --only update prefill --seconds 0.3
  kvring bench --rival my_package.my_module:MyCache    your own cache, see docs/own-cache.md
  kvring bench --json > before.json

Contestants take turns in one process; a ratio is the median of the ratios within each round, so
stretches in which the machine is slow fall on all alike. Results are checked before they are timed.
Rivals whose library is not installed are left out: pip install '.[bench]' in a
checkout of kvring brings them.

exit codes: 0 measured, 2 no such rival or operation, 130 interrupted"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    from ..bench.catalogue import Operation

    parser.description = "Compare kvring with other caches on this machine, in about two minutes."
    parser.epilog = EPILOG
    add = parser.add_argument
    operations = get_args(Operation)
    told = f"some of: {', '.join(quoted(operations))}"
    add("--only", nargs="+", choices=operations, metavar="OPERATION", help=told)
    add("--seconds", type=_seconds, default=2.0, metavar="S", help="for a case's rounds (2)")
    name = "MODULE:FACTORY"
    add("--rival", action="append", default=[], metavar=name, help="a cache of your own, too")
    add("--attention-rival", action="append", default=[], metavar=name, help="attention, too")
    add("--all-shapes", action="store_true", help="every shape: a quarter of an hour")
    add("--json", action="store_true", help="what was measured as data, on stdout")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Measure case by case, and show a table of each as soon as it is there."""
    from ..bench.machine import cores, memory_gib, processor

    session, started = _session(options), time.perf_counter()
    chosen = _cases(options)
    machine = f"{processor()}, {cores()} cores, {memory_gib()}"
    if not options.json:
        say(f"{machine}; times are medians, ratios are to kvring within each round")
        print(flush=True)
    reasons: dict[str, list[str]] = {}
    for number, case in enumerate(chosen):
        with progress(len(chosen), "cases") as show:
            show(number, case.title)
            group = session.group(case, timed=True)
        for name in session.rivals_of(case):
            reasons.setdefault(name, []).append(group.skipped.get(name, ""))
        if not options.json:
            _show(group)
    session.close()
    if options.json:
        print(json.dumps({"machine": machine, "records": session.records}))
        return 0
    for line in _left_out(reasons):
        say(line, indent=2)
    print(f"{counted(len(chosen), 'case')} in {time.perf_counter() - started:.0f} s")
    return 0


def _left_out(reasons: dict[str, list[str]]) -> list[str]:
    """Who took part in no case, and why: a missing library rather than a shape of one case."""
    why: dict[str, list[str]] = {}
    for name, told in reasons.items():
        if all(told):
            needs = [reason for reason in told if reason.startswith("needs")]
            # What Python said about it is the same once more.
            reason = (needs or told)[0].partition(" (No module")[0]
            why.setdefault(reason, []).append(name)
    return [f"left out: {', '.join(names)} ({reason})" for reason, names in why.items()]


def _session(options: argparse.Namespace) -> BenchSession:
    from ..bench.session import BenchSession

    if os.getcwd() not in sys.path:  # where a user's own module is
        sys.path.insert(0, os.getcwd())
    asked = argparse.Namespace(
        kvring_rival=options.rival,
        kvring_attention_rival=options.attention_rival,
        kvring_all=True,
        kvring_quick=not options.all_shapes,
        kvring_seconds=options.seconds,
    )
    try:
        return BenchSession.from_options(asked)
    except ValueError as error:
        raise ConfigError(f"--rival: {error}") from None


def _cases(options: argparse.Namespace) -> list[Case]:
    """Those of the short run; every shape of an operation that has none there."""
    from ..bench.catalogue import cases

    every, quick = cases(), cases(quick=not options.all_shapes)
    wanted = options.only or {case.operation for case in quick}
    short = {case.operation for case in quick}
    return [
        case
        for case in (every if set(wanted) - short else quick)
        if case.operation in wanted and (case in quick or case.operation not in short)
    ]


def _show(group: Group) -> None:
    from ..bench.session import quantity

    names = sorted(group.contestants, key=lambda name: group.value(name) or float("inf"))
    rows: list[tuple[str, ...]] = []
    for name in names:
        value, ratio = group.value(name), group.ratio(name)
        told = "-" if value is None else quantity(value, group.case.operation)
        times = "-" if ratio is None else f"{ratio:,.2f}" if ratio < 100 else f"{ratio:,.0f}"
        rows.append((name, told, times, "; ".join(group.notes[name])))
    rows += [(name, "-", "-", f"failed: {why}") for name, why in group.failed.items()]
    head: tuple[str, ...] = ("cache", ">time", ">times kvring", "~notes")
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    if rows:
        table(head, rows, title=group.case.title)


def _seconds(text: str) -> Any:
    from .parser import number

    return number(0.01, float)(text)
