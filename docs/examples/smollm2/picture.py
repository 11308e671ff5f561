"""A drawing of one layer's ring in plain text: which slot holds which position, and the head."""

from collections.abc import Sequence

from kvring.drawing.cells import Cells

WIDTH = 96


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
    digits = len(str(max(capacity, seq_len)))
    cells = Cells(borders, capacity, sink_tokens, number_width=digits, width=WIDTH)
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
