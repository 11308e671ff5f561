"""Checks of plain options: a wrong one is a ConfigError that names the argument."""

from __future__ import annotations

import operator

import numpy as np

from .errors import ConfigError

__all__ = ["checked_bool", "checked_int"]


def checked_int(name: str, value: object, *, least: int) -> int:
    """`value` as a plain int, or a ConfigError that names the argument. A bool is not a count."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        got = f"{value!r} ({type(value).__name__})"
        raise ConfigError(f"{name}: expected an integer >= {least}, got {got}") from None
    if number < least:
        raise ConfigError(f"{name}: expected an integer >= {least}, got {number}")
    return number


def checked_bool(name: str, value: object) -> bool:
    """`value` if it is True or False; what merely counts as one may be a mistake."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise ConfigError(f"{name}: expected True or False, got {value!r}")
