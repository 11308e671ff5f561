"""warm_up: compile before the first token, not during it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import compiling
from .dtypes import checked_dtype

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["warm_up"]


def warm_up(*dtypes: DTypeLike, progress: Callable[[int, int, str], None] | None = None) -> None:
    """Compile, or load from the disk cache, every kernel that caches of these dtypes need.

    Parameters
    ----------
    *dtypes : dtype
        Storage dtypes; ``"float32"`` if none is given. Dtypes of equal width share kernels.
    progress : callable, optional
        Called as ``progress(done, total, kernel)`` before each kernel and once at the end.

    Raises
    ------
    ConfigError
        If one of them is no dtype a cache can have. Nothing is compiled.

    Notes
    -----
    Cost: about half a second per kernel, three kernels per width; a tenth of that once they are in
    the disk cache. Without it each is compiled when first needed. Threads: any.

    Examples
    --------
    >>> warm_up("float32", "float16")
    """
    widths = sorted({checked_dtype(dtype).itemsize for dtype in dtypes or ("float32",)})
    wanted = [(width, *variant) for width in widths for variant in compiling.VARIANTS]
    for done, (width, name, releases_gil) in enumerate(wanted):
        if progress:
            without = ", releasing the GIL" if releases_gil else ""
            progress(done, len(wanted), f"{name}, {8 * width} bits{without}")
        compiling.kernel(name, width, releases_gil=releases_gil)
    if progress:
        progress(len(wanted), len(wanted), "done")
