"""Pictures of what a layer holds: rings, slot-by-time maps, and the same in plain text.

Pictures are drawn from a history, a mode and the steps that it goes through::

    from kvring import Circular
    from kvring.drawing import ring_svg, slot_time_map_svg

    mode = Circular(window=4, sink_tokens=1, rollback_tokens=2)
    Path("ring.svg").write_text(ring_svg(mode, [12]))                      # after 12 tokens
    Path("map.svg").write_text(slot_time_map_svg(mode, [9, 1, 1, 3, "truncate:12"]))

A step is a number of tokens, or a text as ``kvring trace`` takes it: ``"truncate:12"`` or
``"reset"``, and with an eviction policy ``"touch:3,4"``, ``"pin:3"``, ``"unpin:3"``, ``"evict:3"``.
A mode is an `Append`, `Circular` or `Replace`, or a text: ``"append(capacity=8, eviction=lru)"``.

Both return a whole SVG file as a text: 360 units wide as long as the slots fit (24 in a ring, 8 in
a map), so that letters are as large as the page's own on a phone. Colours follow the reader's
``prefers-color-scheme``; ``theme="light"`` or ``theme="dark"`` makes a file that does not, for
pages with a switch of their own. Several may stand in one page, also as elements of its HTML.

`moments` gives what is drawn as plain numbers. Slots come from the strategies, what is visible from
the reference, which shares nothing with them; tests hold that both agree. Nothing here loads Numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .history import Moment, moments
    from .maps import slot_time_map_svg
    from .rings import ring_svg

__all__ = ["Moment", "moments", "ring_svg", "slot_time_map_svg"]

# The oracle draws with `cells` and must not load strategies, so the others come when asked for.
_HOMES = {
    "Moment": "history",
    "moments": "history",
    "ring_svg": "rings",
    "slot_time_map_svg": "maps",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
