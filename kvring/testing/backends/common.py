"""What adapters of libraries have in common: declarations to start from, and a look-up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..observations import UnsupportedError
from ..supports import Supports

__all__ = ["GROWING", "NO_CHECKS", "SLIDING", "found_in"]

NO_CHECKS = {"wrong_shapes": "shapes are the model's affair"}
GROWING = Supports(
    modes=("append",),
    dtypes=("float32", "float16"),
    layouts=("BHSD",),
    ragged=(),
    overflow="grows",
    too_many="clamped",
    truncate="at_least",
    without=NO_CHECKS,
)
SLIDING = replace(
    GROWING,
    modes=("circular",),
    most_sink_tokens=0,
    most_rollback_tokens=0,
    truncate="may_refuse",
)


def found_in(module: Any, name: str) -> Any:
    """What `module` of this release calls `name`; UnsupportedError if there is no such thing."""
    found = getattr(module, name, None)
    if found is None:
        raise UnsupportedError(f"this release has no {name}")
    return found
