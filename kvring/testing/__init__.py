"""The oracle: finds the bugs in anybody's KV cache.

A backend is anything that takes keys and values and shows what a model would see: a class in
Python behind a few methods, or a program in any language that speaks JSON over stdin and stdout.
The oracle tries many short histories on it, compares what each query sees with the reference
(:mod:`kvring.reference`), and reports the shortest history in which they differ.

Start with ``docs/conformance.md``, or with :func:`find_divergence`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .divergence import Divergence
    from .observations import BackendBrokeError, Logits, Outputs, Rows, Slots, UnsupportedError
    from .probe import CouldNotRunError
    from .search import find_divergence
    from .setup import Setup
    from .suite import Conformance
    from .supports import Supports

_HOMES = {
    "observations": (
        "BackendBrokeError",
        "Logits",
        "Outputs",
        "Rows",
        "Slots",
        "UnsupportedError",
    ),
    "probe": ("CouldNotRunError",),
    "divergence": ("Divergence",),
    "search": ("find_divergence",),
    "setup": ("Setup",),
    "suite": ("Conformance",),
    "supports": ("Supports",),
}

__all__ = [
    "BackendBrokeError",
    "Conformance",
    "CouldNotRunError",
    "Divergence",
    "Logits",
    "Outputs",
    "Rows",
    "Setup",
    "Slots",
    "Supports",
    "UnsupportedError",
    "find_divergence",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
