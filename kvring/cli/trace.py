"""``kvring trace``: what a layer holds after each step, drawn in the terminal and as SVG."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .terminal import columns, paint

if TYPE_CHECKING:
    from ..drawing import Moment
    from .parser import Parser

__all__ = ["fill"]

EPILOG = """\
modes:
  append(capacity=8)
  append(capacity=8, eviction=lru, sink_tokens=1)     fifo, lru, lru(threshold=0.1),
                                                      heavy_hitter(recent_tokens=2)
  circular(window=4, sink_tokens=1, rollback_tokens=2)
  replace(capacity=8)

steps:
  9              an update of nine tokens
  truncate:12    back to the first twelve tokens
  reset          back to none
  touch:3,4      with an eviction policy; likewise pin, unpin and evict

examples:
  kvring trace "circular(window=4, sink_tokens=1, rollback_tokens=2)" 9 1 1 3 truncate:12
  kvring trace "append(capacity=6, eviction=lru, sink_tokens=1)" 6 touch:1 2 pin:2 3
  kvring trace "circular(4)" 1 1 1 1 1 1 --svg map.svg
  kvring trace "circular(4)" 9 --svg ring.svg --picture ring

exit codes: 0 drawn (refused steps too), 2 no such mode or step, or too large to draw"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Draw a layer after each step: which position is in which slot, the head, what the step's"
        " queries see, and what was evicted. What the contract refuses is shown with its reason."
    )
    parser.epilog = EPILOG
    parser.add_argument("mode", metavar="MODE", help='such as "circular(window=4)"')
    parser.add_argument("steps", metavar="STEP", nargs="+", help="tokens of an update, or a verb")
    parser.add_argument("--svg", metavar="FILE", help="draw a picture too; - for stdout, alone")
    kinds = ("map", "ring")
    parser.add_argument("--picture", choices=kinds, default="map", help="slot by time, or the end")
    themes = ("auto", "light", "dark")
    parser.add_argument("--theme", choices=themes, default="auto", help="colours of the picture")
    parser.add_argument("--json", action="store_true", help="every step as data, on stdout")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Draw all that was asked for."""
    from ..drawing import moments

    shown = moments(options.mode, options.steps)
    if options.svg:
        _write_picture(options)
    if options.json:
        print(json.dumps([_data(moment) for moment in shown]))
    elif options.svg != "-":
        for line in _drawn(shown):
            print(line)
    return 0


def _write_picture(options: argparse.Namespace) -> None:
    from ..drawing import ring_svg, slot_time_map_svg

    draw = ring_svg if options.picture == "ring" else slot_time_map_svg
    picture = draw(options.mode, options.steps, theme=options.theme)
    if options.svg == "-":
        sys.stdout.write(picture)
        return
    try:
        Path(options.svg).write_text(picture, encoding="utf-8")
    except OSError as error:
        what = error.strerror or error
        raise ConfigError(f"--svg: {options.svg} cannot be written: {what}") from None


def _data(moment: Moment) -> dict[str, Any]:
    names = ["seq_len", "slots", "head", "visible", "newest_sees", "assembled", "written"]
    names += ["evicted", "dropped", "pinned", "next_out"]
    data: dict[str, Any] = {"step": str(moment.step) if moment.step else None}
    data["refusal"] = moment.refusal or None
    return data | {name: getattr(moment, name) for name in names}


def _drawn(shown: list[Moment]) -> Iterator[str]:
    first = shown[0]
    yield paint(repr(first.mode), "bold") + f"   {len(first.slots)} slots"
    for moment in shown[1:]:
        yield ""
        yield from _step(moment)


def _step(moment: Moment) -> Iterator[str]:
    from ..drawing.svg import ranges

    head = paint(str(moment.step), "bold")
    if moment.refusal:
        yield f"{head}   {paint('refused', 'bad')}, nothing has changed"
        yield from _wrapped(moment.refusal)
        return
    told = [f"seq_len {moment.seq_len}"]
    for word in ("evicted", "dropped", "pinned"):
        positions = getattr(moment, word)
        told += [f"{word} {ranges(positions)}"] if positions else []
    yield f"{head}   {', '.join(told)}"
    yield from _cells(moment)
    if moment.assembled:
        gone = moment.assembled
        yield from _wrapped(
            f"Its queries saw {ranges(moment.visible)}. {ranges(gone)}"
            f" {'has' if len(gone) == 1 else 'have'} no slot any more, so the view is assembled."
        )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, columns() - 2, initial_indent="  ", subsequent_indent="  ")


def _cells(moment: Moment) -> Iterator[str]:
    from ..drawing.cells import Cells
    from ..drawing.svg import kind_of

    slots, styles = moment.slots, {"seen": "seen", "sink": "sink", "kept": "", "empty": "dim"}
    first, newest = moment.head, moment.newest
    borders = {moment.sink_tokens, *(slot + 1 for slot in (newest, first) if slot is not None)}
    digits = len(str(max(len(slots), moment.seq_len)))
    cells = Cells(borders, len(slots), moment.sink_tokens, digits, columns())

    def colour(slot: int, text: str) -> str:
        return paint(text, styles[kind_of(moment, slot, moment.visible)])

    def marked(positions: tuple[int, ...], mark: str) -> Any:
        return lambda slot: mark if slots[slot] in positions else ""

    yield cells.line("slot", str, lambda slot, text: paint(text, "dim"))
    yield cells.line("holds", lambda slot: "." if slots[slot] < 0 else str(slots[slot]), colour)
    yield cells.line("visible", marked(moment.visible, "*"), colour).rstrip()
    if moment.written:
        new = cells.line("new", marked(moment.written, "+"), lambda slot, text: paint(text, "new"))
        yield new.rstrip()
    if newest is not None:
        yield cells.arrow(newest, "newest row")
    if first is not None:
        replaced = ""
        if moment.next_out == slots[first]:
            replaced = f", which position {moment.seq_len} replaces"
        head = "head: " if hasattr(moment.mode, "window") else ""
        yield cells.arrow(first, f"{head}the oldest row{replaced}")
    if moment.next_out is not None and moment.next_out != slots[first or 0]:
        yield cells.arrow(slots.index(moment.next_out), f"gives way to position {moment.seq_len}")
