"""A drawing of one layer's ring in plain text: which slot holds which position, and the head."""

from collections.abc import Callable, Sequence

WIDTH = 96
LABEL_WIDTH = 8
GAP_WIDTH = 3


def draw_ring(
    positions: Sequence[int], slots: Sequence[int], window: int, sink_tokens: int, seq_len: int
) -> str:
    """Draw a circular cache's slots in a row, with the positions they hold.

    Parameters
    ----------
    positions, slots : sequence of int
        The resident rows, oldest first: their positions, and where they lie. At least one.
    window, sink_tokens : int
        The ring's numbers, in tokens; together they are its capacity.
    seq_len : int
        Tokens seen, which is the position of the next one.

    Returns
    -------
    str
        Lines of at most 96 characters. A large ring is cut to the slots around its borders.

    Examples
    --------
    >>> print(draw_ring([0, 3, 4, 5, 6], [0, 3, 4, 1, 2], window=4, sink_tokens=1, seq_len=7))
    slot       0 | 1   2   3   4
    position   0 | 5   6   3   4
                       ^ newest row
                           ^ head: the oldest row, which position 7 replaces
    """
    capacity = window + sink_tokens
    borders = {sink_tokens, len(slots), slots[-1] + 1}
    cells = Cells(borders, capacity, sink_tokens, number_width=len(str(max(capacity, seq_len))))
    position_in_slot = dict(zip(slots, positions, strict=True))
    lines = [
        cells.line("slot", lambda slot: str(slot)),
        cells.line("position", lambda slot: str(position_in_slot.get(slot, "."))),
        cells.arrow(slots[-1], "newest row"),
    ]
    if len(slots) > sink_tokens:
        # The first row after the sinks is the oldest of the ring.
        replaced = f", which position {seq_len} replaces" if len(slots) == capacity else ""
        lines.append(cells.arrow(slots[sink_tokens], f"head: the oldest row{replaced}"))
    return "\n".join(lines)


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
    """

    def __init__(
        self, borders: set[int], capacity: int, sink_tokens: int, number_width: int
    ) -> None:
        self.width = GAP_WIDTH + number_width
        self.shown = choose_slots(borders, capacity, (WIDTH - LABEL_WIDTH) // self.width)
        pairs = zip([-1, *self.shown[:-1]], self.shown, strict=True)
        self.gaps = [_gap(slot, previous, sink_tokens) for previous, slot in pairs]

    def line(self, label: str, content: Callable[[int], str]) -> str:
        """Return a label and what `content` says of each slot shown."""
        number_width = self.width - GAP_WIDTH
        cells = zip(self.gaps, self.shown, strict=True)
        padded = (f"{gap}{content(slot):>{number_width}}" for gap, slot in cells)
        return f"{label:{LABEL_WIDTH}}{''.join(padded)}"

    def arrow(self, slot: int, text: str) -> str:
        """Return a line that points up at a slot, with its text on the side that has room."""
        column = LABEL_WIDTH + (self.shown.index(slot) + 1) * self.width - 1
        if column + 2 + len(text) <= WIDTH:
            return f"{'':{column}}^ {text}"
        return f"{text + ' ^':>{column + 1}}"


def choose_slots(borders: set[int], capacity: int, most_cells: int) -> list[int]:
    """Return the slots to show: all, or as many on both sides of each border as there is room.

    A border lies between a slot and the one before it; both ends of the ring are borders too.

    Examples
    --------
    >>> choose_slots({4, 10}, capacity=20, most_cells=10)
    [0, 3, 4, 9, 10, 19]
    """
    if capacity <= most_cells:
        return list(range(capacity))
    borders = borders | {0, capacity}
    shown: list[int] = []
    for reach in range(1, capacity):
        near = {slot for border in borders for slot in range(border - reach, border + reach)}
        wider = sorted(slot for slot in near if 0 <= slot < capacity)
        if len(wider) > most_cells:
            break
        shown = wider
    return shown


def _gap(slot: int, previous: int, sink_tokens: int) -> str:
    """Return the three characters before a slot: sinks end here, slots left out, or neither."""
    if slot == sink_tokens and slot > 0:
        return " | "
    return "   " if slot == previous + 1 else ".. "
