"""A layer's slots as a ring, sinks in front of it; modes without a ring as a strip of slots."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi, sin

from ..config import Circular, Mode
from ..errors import ConfigError
from .history import Moment, moments
from .steps import StepLike
from .svg import WIDTH, Theme, document, element, kind_of, legend, letters_on, ranges, text

__all__ = ["ring_svg"]

OUTER, INNER = 136.0, 84.0
MIDDLE = WIDTH / 2
# As many as leave each number of three digits its room.
MOST_AROUND, MOST_SLOTS = 24, 64
CELL, ROW = 40.0, 62.0


def ring_svg(
    mode: Mode | str, steps: Iterable[StepLike] = (), *, title: str = "", theme: Theme = "auto"
) -> str:
    """The slots of a layer after some steps: which position is where, what the newest token sees.

    Parameters
    ----------
    mode : Append, Circular, Replace or str
    steps : list of int, str or Step, optional
        See :mod:`kvring.drawing`.
    title : str, optional
        What is said to those who cannot see the picture; made from the mode if not given.
    theme : {"auto", "light", "dark"}, optional

    Returns
    -------
    str
        A whole SVG file, 360 units wide.

    Raises
    ------
    ConfigError
        If there is no such mode, step or theme, or more slots than letters would fit in.

    Examples
    --------
    >>> picture = ring_svg("circular(window=4, sink_tokens=1, rollback_tokens=2)", [12])
    >>> "visible to position 11" in picture
    True
    """
    moment = moments(mode, steps)[-1]
    around, most = len(moment.slots) - moment.sink_tokens, MOST_SLOTS
    if isinstance(moment.mode, Circular):
        most = MOST_AROUND + moment.sink_tokens
    if around > most - moment.sink_tokens or len(moment.slots) > MOST_SLOTS:
        raise ConfigError(f"expected at most {most} slots to draw, got {len(moment.slots)}")
    draw = _ring if isinstance(moment.mode, Circular) else _strip
    body, bottom = draw(moment)
    kinds = {kind_of(moment, slot, moment.newest_sees) for slot in range(len(moment.slots))}
    if isinstance(moment.mode, Circular) and moment.head is not None:
        kinds.add("head")
    seen = f"visible to position {moment.seq_len - 1}"
    drawn, height = legend(kinds, 8, bottom, WIDTH - 16, seen)
    told = title or f"{moment.mode!r} after {moment.seq_len} tokens"
    return document([*body, *drawn], width=WIDTH, height=height, title=told, theme=theme)


def _ring(moment: Moment) -> tuple[list[str], float]:
    first = moment.sink_tokens
    body, top = _cells(moment, range(first), 22.0) if first else ([], 0.0)
    if first:
        body.insert(0, text("sinks" if first > 1 else "sink", 8, 13, "faint"))
    centre = top + OUTER + 24
    around = range(first, len(moment.slots))
    for slot in around:
        body += _sector(moment, slot, centre, len(around))
    if moment.head is not None:
        body.append(_mark(moment.head - first, len(around), centre))
    next_slot = moment.seq_len
    if next_slot >= first:
        next_slot = first + (next_slot - first) % len(around)
    words = (
        f"{moment.seq_len} tokens seen" if moment.seq_len != 1 else "1 token seen",
        f"{moment.seq_len} goes to slot {next_slot}",
    )
    for line, told in enumerate(words):
        class_ = "strong" if line == 0 else "faint"
        body.append(text(told, MIDDLE, centre - 4 + 18 * line, class_, "middle"))
    return body, centre + OUTER + 30


def _sector(moment: Moment, slot: int, centre: float, around: int) -> list[str]:
    """A piece of the ring with its position, and the slot's number outside."""
    number, kind = slot - moment.sink_tokens, kind_of(moment, slot, moment.newest_sees)
    begin, end = 2 * pi * number / around, 2 * pi * (number + 1) / around
    if around == 1:
        end -= 0.001  # an arc that ends where it begins is none
    wide = int(end - begin > pi)
    path = (
        f"M{_at(OUTER, begin, centre)}A{OUTER:g},{OUTER:g} 0 {wide} 1 {_at(OUTER, end, centre)}"
        f"L{_at(INNER, end, centre)}A{INNER:g},{INNER:g} 0 {wide} 0 {_at(INNER, begin, centre)}Z"
    )
    half = (begin + end) / 2
    x, y = _point((OUTER + INNER) / 2, half, centre)
    label_x, label_y = _point(OUTER + 13, half, centre)
    position = moment.slots[slot]
    letters = f"{'number' if position < 100 else 'small'} {letters_on(kind)}"
    return [
        element("path", d=path, class_=f"cell {kind}"),
        text("" if position < 0 else position, x, y + 5, letters, "middle"),
        text(slot, label_x, label_y + 4, "faint", "middle"),
    ]


def _mark(number: int, around: int, centre: float) -> str:
    """An arrow inside the ring that points at a slot."""
    angle = 2 * pi * (number + 0.5) / around
    tip, left, right = (
        _at(INNER - 2, angle, centre),
        _at(INNER - 15, angle - 0.1, centre),
        _at(INNER - 15, angle + 0.1, centre),
    )
    return element("path", d=f"M{tip}L{left}L{right}Z", class_="mark")


def _point(radius: float, angle: float, centre: float) -> tuple[float, float]:
    """A place on a circle; angles begin at the top and go as a clock does."""
    return MIDDLE + radius * sin(angle), centre - radius * cos(angle)


def _at(radius: float, angle: float, centre: float) -> str:
    x, y = _point(radius, angle, centre)
    return f"{x:.2f},{y:.2f}"


def _strip(moment: Moment) -> tuple[list[str], float]:
    body, bottom = _cells(moment, range(len(moment.slots)), 22.0)
    body.insert(0, text("slots", 8, 13, "faint"))
    told = f"{moment.seq_len} tokens seen" if moment.seq_len != 1 else "1 token seen"
    if moment.next_out is not None:
        told += f"; {moment.next_out} gives way next"
    if moment.pinned:
        told += f"; pinned: {ranges(moment.pinned)}"
    body.append(text(told, 8, bottom + 8, "strong"))
    return body, bottom + 22


def _cells(moment: Moment, slots: range, top: float) -> tuple[list[str], float]:
    """Slots side by side, eight in a line; and where they end."""
    body, in_line = [], int((WIDTH - 16) // CELL)
    for slot in slots:
        line, column = divmod(slot - slots.start, in_line)
        x, y, kind = 8 + column * CELL, top + line * ROW, kind_of(moment, slot, moment.newest_sees)
        body.append(
            element("rect", x=x + 1, y=y, width=CELL - 2, height=34, rx=3, class_=f"cell {kind}")
        )
        position, middle = moment.slots[slot], x + CELL / 2
        if position >= 0:
            body.append(text(position, middle, y + 22, f"number {letters_on(kind)}", "middle"))
        body.append(text(slot, middle, y + 48, "faint", "middle"))
    lines = -(-len(slots) // in_line)
    return body, top + lines * ROW
