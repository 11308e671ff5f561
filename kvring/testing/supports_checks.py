"""Is a declaration what its fields say? Used by :class:`~kvring.testing.supports.Supports`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from ..errors import ConfigError

__all__ = ["check_known", "check_number", "check_tolerance", "check_types", "check_without"]


def check_types(declared: Any) -> None:
    """ConfigError for the first field whose value is not of the kind that its annotation names.

    Words with a few choices, yes or no, and tuples; numbers have ranges besides (`check_number`).
    """
    for name, hint in get_type_hints(type(declared)).items():
        value, inner = getattr(declared, name), get_args(hint)
        words = [choice for choice in inner if isinstance(choice, str)]
        if words and value not in words:
            raise ConfigError(f"{name}: expected {' or '.join(map(repr, words))}, got {value!r}")
        if hint is bool and type(value) is not bool:
            raise ConfigError(f"{name}: expected True or False, got {value!r}")
        if Ellipsis in inner:
            _check_tuple(name, value, inner[0])


def _check_tuple(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, tuple) or any(type(entry) is not kind for entry in value):
        of = "integers" if kind is int else "strings"
        raise ConfigError(f"{name}: expected a list or tuple of {of}, got {value!r}")


def check_known(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    """ConfigError for the first value that is not one of the known ones."""
    for value in values:
        if value not in known:
            raise ConfigError(f"{name}: expected some of {', '.join(known)}, got {value!r}")


def check_number(name: str, value: object, least: int, most: float = math.inf) -> None:
    """ConfigError for what is no integer from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        wanted = f">= {least}" if most == math.inf else f"from {least} to {most:g}"
        raise ConfigError(f"{name}: expected an integer {wanted}, got {value!r}")


def check_tolerance(value: object) -> None:
    """ConfigError unless it is a number of at least 0."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:  # type: ignore[operator]
        raise ConfigError(f"tolerance: expected a number >= 0, got {value!r}")


def check_without(without: object, operations: tuple[str, ...]) -> None:
    """ConfigError unless it gives a reason, in words, for each of the operations it names."""
    if not isinstance(without, Mapping):
        way_out = '{"truncate": "why"}'
        raise ConfigError(f"without: expected a mapping such as {way_out}, got {without!r}")
    check_known("without", tuple(without), operations)
    for operation, why in without.items():
        if not isinstance(why, str):
            raise ConfigError(f"without: expected a reason for {operation} in words, got {why!r}")
