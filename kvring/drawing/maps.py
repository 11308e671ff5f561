"""Slot by time: one line for each step, one column for each slot, the position in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..config import Mode
from ..errors import ConfigError
from .history import Moment, moments
from .steps import StepLike
from .svg import WIDTH, Theme, document, element, kind_of, legend, letters_on, said, text

__all__ = ["slot_time_map_svg"]

LABEL, ROW, TOP = 110.0, 36.0, 40.0
MOST_SLOTS, MOST_STEPS = 64, 200
LABEL_LETTERS = 16


def slot_time_map_svg(
    mode: Mode | str, steps: Iterable[StepLike], *, title: str = "", theme: Theme = "auto"
) -> str:
    """The slots of a layer after each step, from top to bottom, as the step's queries see them.

    Parameters
    ----------
    mode : Append, Circular, Replace or str
    steps : list of int, str or Step
        See :mod:`kvring.drawing`; ``[1] * 12`` gives every token a line of its own.
    title : str, optional
        What is said to those who cannot see the picture; made from the mode if not given.
    theme : {"auto", "light", "dark"}, optional

    Returns
    -------
    str
        A whole SVG file. It is 360 units wide up to eight slots or so, and wider with more.

    Raises
    ------
    ConfigError
        If there is no such mode, step or theme, or more slots or steps than a page can show.

    Examples
    --------
    >>> picture = slot_time_map_svg("circular(window=2)", [1, 1, 1, "truncate:0"])
    >>> picture.count('class="new"')
    4
    """
    shown = moments(mode, steps)[1:]
    slots = len(shown[0].slots) if shown else 0
    if not shown or slots > MOST_SLOTS or len(shown) > MOST_STEPS:
        raise ConfigError(
            f"expected 1 .. {MOST_STEPS} steps in at most {MOST_SLOTS} slots to draw, got"
            f" {len(shown)} steps in {slots}"
        )
    digits = len(str(max(moment.seq_len for moment in shown)))
    cell = max((WIDTH - LABEL - 8) / slots, 11 + 9.0 * digits)
    cell = min(cell, 44.0)
    width = max(LABEL + cell * slots + 8, float(WIDTH))
    body = _header(shown[0], cell)
    for number, moment in enumerate(shown):
        body += _line(moment, TOP + number * ROW, cell)
    kinds = {kind_of(moment, slot, moment.visible) for moment in shown for slot in range(slots)}
    kinds |= {"new"} if any(moment.written for moment in shown) else set()
    drawn, height = legend(kinds, 8, TOP + len(shown) * ROW + 10, width - 16)
    told = title or f"{shown[0].mode!r}, slot by time"
    return document([*body, *drawn], width=width, height=height, title=told, theme=theme)


def _header(moment: Moment, cell: float) -> list[str]:
    body = [text("slot", LABEL - 8, TOP - 8, "faint", "end")]
    for slot in range(len(moment.slots)):
        body.append(text(slot, LABEL + (slot + 0.5) * cell, TOP - 8, "faint", "middle"))
    count = min(moment.sink_tokens, len(moment.slots))
    if count:
        word = "sinks" if count > 1 else "sink"
        body.append(text(word, LABEL + count * cell / 2, TOP - 24, "faint", "middle"))
    return body


def _line(moment: Moment, y: float, cell: float) -> list[str]:
    told = _shortened(said(moment))
    middle = y + (14 if told else 21)
    body = [text(moment.step, 8, middle, "strong")]
    if told:
        body.append(text(told, 8, y + 29, "refused" if moment.refusal else "faint"))
    for slot, position in enumerate(moment.slots):
        x, kind = LABEL + slot * cell, kind_of(moment, slot, moment.visible)
        box: dict[str, Any] = {
            "x": x + 1.5,
            "y": y + 2,
            "width": cell - 3,
            "height": ROW - 4,
            "rx": 3,
        }
        body.append(element("rect", **box, class_=f"cell {kind}"))
        if position >= 0:
            class_ = f"number {letters_on(kind)}"
            body.append(text(position, x + cell / 2, y + ROW / 2 + 5, class_, "middle"))
        if position in moment.written:
            body.append(element("rect", **box, class_="new"))
    return body


def _shortened(words: str) -> str:
    """As much as stands beside the slots: the stretches' ends, or nothing but the first word."""
    if len(words) <= LABEL_LETTERS:
        return words
    return words[: LABEL_LETTERS - 1].rstrip(",; -") + "…"
