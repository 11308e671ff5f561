"""Lists in a program's answer as arrays. What has not the form it should have is a ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["masks", "numbers", "planes", "positions"]

Array = NDArray[Any]


def numbers(given: Any, kinds: str = "iuf") -> Array:
    """Nested lists of numbers; NumPy would take strings and null for numbers as well."""
    wanted = "numbers" if "f" in kinds else "true and false" if "b" in kinds else "integers"
    try:
        array = np.array(given)
        if array.size == 0 or array.dtype.kind in kinds:
            return array
    except ValueError:  # lists of different lengths
        pass
    raise ValueError(f"expected {wanted} in lists of equal length, got {_short(given)}")


def planes(given: list[Any], empty: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
    """K or V: one array per batch row, which may differ in rows; `empty` is the shape of none."""
    made = []
    for row in given:
        array = numbers(row)
        if array.size == 0:  # [] says nothing about the axes after it
            array = array.reshape(empty)
        if array.ndim != 3:
            raise ValueError(f"expected three axes in each batch row, got {_short(row)}")
        with np.errstate(invalid="ignore", over="ignore"):  # what does not fit shows as another row
            made.append(array.astype(np.float64).astype(dtype))
    return made


def masks(given: Any, rows: list[int]) -> list[Array]:
    """One mask per batch row, of `rows` rows: given for all of them, or for each."""
    given = _checked_list(given)
    for_each = bool(given) and isinstance(given[0], list) and bool(given[0])
    for_each = for_each and isinstance(given[0][0], list)
    made = []
    for one, width in zip(_of_each(given, for_each, len(rows)), rows, strict=True):
        array = numbers(one, "biu")  # some languages write 1 and 0
        if array.size == 0:
            array = array.reshape(len(_checked_list(one)), width)
        if array.ndim != 2 or not np.isin(array, (0, 1)).all():
            raise ValueError(f"expected lists of true and false, got {_short(one)}")
        made.append(array.astype(bool))
    return made


def positions(given: Any, batch: int) -> list[Array]:
    """One list of positions per batch row: given for all of them, or for each."""
    given = _checked_list(given)
    for_each = bool(given) and isinstance(given[0], list)
    made = [numbers(one, "iu") for one in _of_each(given, for_each, batch)]
    if any(array.ndim != 1 for array in made):
        raise ValueError(f"expected a list of integers, got {_short(given)}")
    return [array.astype(np.int64) for array in made]


def _checked_list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"expected a list, got {_short(given)}")
    return given


def _of_each(given: list[Any], for_each: bool, batch: int) -> list[Any]:
    if for_each and len(given) != batch:
        raise ValueError(f"expected one for each of {batch} batch rows, got {len(given)}")
    return given if for_each else [given] * batch


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."
