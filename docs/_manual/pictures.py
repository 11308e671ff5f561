"""The pictures of the manual: ``python docs/_manual/pictures.py`` draws them anew.

Which mode goes through which steps stands here; slots come from the strategies, what is visible
from the reference (see :mod:`kvring.drawing`). A test draws them again and compares.
"""

from __future__ import annotations

from pathlib import Path

from kvring import LRU, Append, Circular, Replace
from kvring.drawing import ring_svg, slot_time_map_svg

__all__ = ["FOLDER", "MAPS", "RINGS", "drawn"]

FOLDER = Path(__file__).parents[1] / "pictures"
EXAMPLE = Circular(window=4, sink_tokens=1, rollback_tokens=2)  # the contract's worked example

RINGS = {"ring.svg": (EXAMPLE, [12])}
MAPS = {
    "append.svg": (Append(capacity=6), [3, 1, 1, 2, "truncate:2", 3]),
    "append-lru.svg": (
        Append(capacity=6, eviction=LRU(), sink_tokens=1),
        [6, "touch:1,2", 1, 1, 1, 2],
    ),
    "circular.svg": (EXAMPLE, [4, *[1] * 9]),
    "replace.svg": (Replace(capacity=5), [4, 2, 5, 1]),
    "chunks.svg": (EXAMPLE, [11, 1, 3, "reset", 11, 1, 5]),
    "rollback.svg": (EXAMPLE, [11, 1, "truncate:10", 1, 2, "truncate:10", "truncate:1"]),
}


def drawn() -> dict[str, str]:
    """Every picture of the manual: its name, and the SVG."""
    rings = {name: ring_svg(mode, steps) for name, (mode, steps) in RINGS.items()}
    return rings | {name: slot_time_map_svg(mode, steps) for name, (mode, steps) in MAPS.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, svg in drawn().items():
        (FOLDER / name).write_text(svg)
