"""Slots side by side in plain text: cut to the interesting ones where there are too many."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Cells", "choose_slots"]

LABEL_WIDTH = 8
GAP_WIDTH = 3


class Cells:
    """The columns of the drawing: which slots are shown, and where on the line each one is.

    Parameters
    ----------
    borders : set of int
        Slots where something new begins; what lies around them is shown.
    capacity : int
        Slots of the layer, in tokens.
    sink_tokens : int
        How many of them, the first ones, are sinks.
    number_width : int
        Characters of the largest number in a cell.
    width : int
        Characters of a line.

    Examples
    --------
    >>> cells = Cells({1, 30}, capacity=31, sink_tokens=1, number_width=2, width=48)
    >>> print(cells.line("slot", str))
    slot        0 |  1    2    3.. 27   28   29   30
    >>> print(cells.arrow(30, "newest row"))
                                    newest row ^
    """

    def __init__(
        self, borders: set[int], capacity: int, sink_tokens: int, number_width: int, width: int
    ) -> None:
        self.line_width = width
        self.width = GAP_WIDTH + number_width
        self.shown = choose_slots(borders, capacity, (width - LABEL_WIDTH) // self.width)
        pairs = zip([-1, *self.shown[:-1]], self.shown, strict=True)
        self.gaps = [_gap(slot, previous, sink_tokens) for previous, slot in pairs]

    def line(
        self,
        label: str,
        content: Callable[[int], str],
        paint: Callable[[int, str], str] = lambda slot, text: text,
    ) -> str:
        """A label and what `content` says of each slot shown, coloured by `paint`."""
        number_width = self.width - GAP_WIDTH
        cells = zip(self.gaps, self.shown, strict=True)
        padded = (f"{gap}{paint(slot, f'{content(slot):>{number_width}}')}" for gap, slot in cells)
        return f"{label:{LABEL_WIDTH}}{''.join(padded)}"

    def arrow(self, slot: int, text: str) -> str:
        """A line that points up at a slot, with its text on the side that has room."""
        column = LABEL_WIDTH + (self.shown.index(slot) + 1) * self.width - 1
        if column + 2 + len(text) <= self.line_width:
            return f"{'':{column}}^ {text}"
        return f"{text + ' ^':>{column + 1}}"


def choose_slots(borders: set[int], capacity: int, most_cells: int) -> list[int]:
    """The slots to show: all, or as many on both sides of each border as there is room.

    A border lies between a slot and the one before it; both ends of the ring are borders too. The
    slots before the borders are shown in any case.

    Examples
    --------
    >>> choose_slots({4, 10}, capacity=20, most_cells=10)
    [0, 3, 4, 9, 10, 19]
    >>> choose_slots({4, 10}, capacity=20, most_cells=2)
    [3, 9, 19]
    """
    if capacity <= most_cells:
        return list(range(capacity))
    borders = borders | {0, capacity}
    shown = sorted(border - 1 for border in borders if border)
    for reach in range(1, capacity):
        near = {slot for border in borders for slot in range(border - reach, border + reach)}
        wider = sorted(slot for slot in near if 0 <= slot < capacity)
        if len(wider) > most_cells:
            break
        shown = wider
    return shown


def _gap(slot: int, previous: int, sink_tokens: int) -> str:
    """The three characters before a slot: sinks end here, slots left out, or neither."""
    if slot == sink_tokens and slot > 0:
        return " | "
    return "   " if slot == previous + 1 else ".. "
