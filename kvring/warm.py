"""warm_up: compile before the first token, not during it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from . import compiling
from .dtypes import checked_dtype
from .errors import ConfigError
from .options import checked_bool

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["warm_up"]


def warm_up(
    *dtypes: DTypeLike,
    attention: bool = False,
    eviction: bool = False,
    ragged: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> None:
    """Compile, or load from the disk cache, every kernel that caches of these dtypes need.

    Parameters
    ----------
    *dtypes : dtype
        Storage dtypes; ``"float32"`` if none is given. Dtypes of equal width share kernels.
    attention : bool
        Whether `attend` is used too, on those of them that it reads.
    eviction : bool
        Whether layers have an eviction policy: what moves rows of a batch above 1 once they have
        gone apart, and what `observe` weighs float32 and float64 weights with.
    ragged : bool
        Whether batch rows go apart otherwise: updates with `token_counts`, targets of their own.
    progress : callable, optional
        Called as ``progress(done, total, kernel)`` before each kernel and once at the end.

    Raises
    ------
    ConfigError
        If one of them is no dtype a cache can have, or none is one that `attend` reads. Nothing is
        compiled.

    Notes
    -----
    Cost: about half a second per kernel: four per width, with `ragged` or `eviction` two more per
    width, with `eviction` eight for weights; ten seconds for the one per dtype of `attend`. A tenth
    of a second once they are in the disk cache. Without it each is compiled when first needed.
    Threads: any.

    Examples
    --------
    >>> warm_up("float32", "float16")
    """
    found = [checked_dtype(dtype) for dtype in dtypes or ("float32",)]
    read = [name for name in compiling.ATTENDED if name in {dtype.name for dtype in found}]
    if checked_bool("attention", attention) and not read:
        raise ConfigError(f"attention: expected one of {', '.join(compiling.ATTENDED)}")
    weighing = compiling.WEIGHING if checked_bool("eviction", eviction) else ()
    apart = compiling.APART if checked_bool("ragged", ragged) or eviction else ()
    moving = [*compiling.VARIANTS, *compiling.ASSEMBLING, *apart]
    widths = sorted({dtype.itemsize for dtype in found})
    wanted = [(width, *kernel) for width in widths for kernel in moving]
    wanted += [(width, *kernel) for width in (4, 8) for kernel in weighing]
    jobs: list[tuple[str, Callable[[], object]]] = []
    for width, name, free in wanted:
        job = partial(compiling.kernel, name, width, releases_gil=free)
        jobs.append((f"{name}, {8 * width} bits{_told(free)}", job))
    for name in read if attention else ():
        jobs.append(
            (f"attend_rows, {name}{_told(True)}", partial(compiling.attention_kernel, name))
        )
    for done, (text, compile_it) in enumerate(jobs):
        if progress:
            progress(done, len(jobs), text)
        compile_it()
    if progress:
        progress(len(jobs), len(jobs), "done")


def _told(releases_gil: bool) -> str:
    return ", releasing the GIL" if releases_gil else ""
