"""Positions drawn on the ring, with what a query should see and what it saw."""

from __future__ import annotations

from ..config import Circular, Mode

__all__ = ["ring_picture"]


def ring_picture(
    mode: Mode, resident: tuple[int, ...], expected: set[int], got: set[int] | None
) -> list[str]:
    """Lines of text: slots, the positions in them, and marks below for both sides.

    The layout is the contract's; a backend may lay its rows out otherwise. Positions that are seen
    and have no slot any more stand to the right of the ring.

    >>> for line in ring_picture(Circular(2, 1, 1), (0, 3, 4, 5), {0, 4, 5}, {3, 4, 5}):
    ...     print(line)
               sink     ring
    slot       0    |   1    2    3
    position   0    |   4    5    3
    expected   *    |   *    *
    got             |   *    *    *
    """
    slots = {_slot(mode, position): position for position in resident}
    aside = sorted((expected | (got or set())) - set(resident))
    sink_tokens = mode.sink_tokens if isinstance(mode, Circular) else 0
    capacity = min(mode.capacity, max(slots, default=0) + 1, 24)
    if isinstance(mode, Circular):
        capacity = min(mode.capacity, 24)
    columns: list[int | None] = [slots.get(slot) for slot in range(capacity)]
    rows = [("slot", [str(slot) for slot in range(capacity)], [""] * len(aside))]
    rows.append(("position", [_text(column) for column in columns], [str(p) for p in aside]))
    rows.append(("expected", *_marks(columns, aside, expected)))
    if got is not None:
        rows.append(("got", *_marks(columns, aside, got)))
    lines = []
    if sink_tokens:
        ring = f"{'sink' if sink_tokens == 1 else 'sinks':<{5 * sink_tokens}}    ring"
        lines.append(f"{'':<11}{ring}".rstrip())
    for name, cells, others in rows:
        text = f"{name:<11}" + "".join(f"{cell:<5}" for cell in cells[:sink_tokens])
        text += "|   " if sink_tokens else ""
        text += "".join(f"{cell:<5}" for cell in cells[sink_tokens:])
        text += ("   no slot: " if name == "position" and aside else " " * 12) if aside else ""
        lines.append((text + "".join(f"{cell:<5}" for cell in others)).rstrip())
    return lines


def _slot(mode: Mode, position: int) -> int:
    """Law 3: sinks in slots of their own, the others around the ring."""
    if isinstance(mode, Circular) and position >= mode.sink_tokens:
        around = mode.window + mode.rollback_tokens
        return mode.sink_tokens + (position - mode.sink_tokens) % around
    return position


def _marks(
    columns: list[int | None], aside: list[int], seen: set[int]
) -> tuple[list[str], list[str]]:
    return (
        ["*" if position in seen else "" for position in columns],
        ["*" if position in seen else "" for position in aside],
    )


def _text(position: int | None) -> str:
    return "." if position is None else str(position)
