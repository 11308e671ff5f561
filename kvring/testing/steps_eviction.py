"""What can be done to a cache with an eviction policy, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Evict", "Observe", "Pin", "Touch", "Unpin"]


@dataclass(frozen=True)
class Pin:
    """These positions may not give way any more, in any layer."""

    op: ClassVar[str] = "pin"
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Unpin:
    """These positions may give way again."""

    op: ClassVar[str] = "unpin"
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Evict:
    """Drop these positions by hand, in all layers."""

    op: ClassVar[str] = "evict"
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Touch:
    """These positions of a layer were attended to."""

    op: ClassVar[str] = "touch"
    layer: int
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Observe:
    """What the newest query gave to rows of a layer, in every head and batch row.

    Parameters
    ----------
    layer : int
    sixteenths : tuple of int
        A weight for each row that the newest token sees, the last ones for the newest rows, in
        sixteenths: fractions that every float holds exactly. Rows without one get 0.
    """

    op: ClassVar[str] = "observe"
    layer: int
    sixteenths: tuple[int, ...]

    def weights(self, rows: int) -> list[float]:
        """One for each of so many rows, oldest first; fewer rows have the last of them."""
        given = [number / 16 for number in self.sixteenths[-rows:]] if rows else []
        return [0.0] * (rows - len(given)) + given
