"""Which dtypes a cache can store: numbers of 1, 2, 4 or 8 bytes, moved as words of that width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["HALF_WIDE", "checked_dtype", "widened"]

WORD_BYTES = (1, 2, 4, 8)
HALF_WIDE = ("float16", "bfloat16")


def checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The storage dtype, if its elements are numbers of 1, 2, 4 or 8 bytes in native byte order."""
    wanted = "dtype: expected a numeric dtype of 1, 2, 4 or 8 bytes in native byte order"
    if dtype is None:
        raise ConfigError(f"{wanted}, got None")
    try:
        found = np.dtype(_extension_dtype(dtype))
    except ImportError:
        needs = "bfloat16 and float8 need the package ml_dtypes"
        raise ConfigError(f"{wanted}, got {dtype!r} ({needs})") from None
    except (TypeError, ValueError, SyntaxError):
        raise ConfigError(f"{wanted}, got {dtype!r}") from None
    numeric = found.kind in "iufc" or _is_extension_float(found)
    if not numeric or found.itemsize not in WORD_BYTES or not found.isnative:
        raise ConfigError(f"{wanted}, got {found!r}")
    return found


def _is_extension_float(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is one of the small floats that the package ml_dtypes adds to NumPy."""
    of_package = getattr(dtype.type, "__module__", "").split(".")[0] == "ml_dtypes"
    return of_package and dtype.name.startswith(("bfloat", "float8"))


def _extension_dtype(dtype: DTypeLike) -> DTypeLike:
    """NumPy knows the name "bfloat16" only once ml_dtypes is loaded: look it up there."""
    if isinstance(dtype, str) and dtype.startswith(("bfloat", "float8")):
        import ml_dtypes

        found: DTypeLike = getattr(ml_dtypes, dtype, dtype)
        return found
    return dtype


def widened(floats: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as float32 or float64: float16 and bfloat16 are half as wide."""
    return floats.astype(np.float32) if floats.dtype.name in HALF_WIDE else floats
