"""Numba, wrapped: the only file of kvring that knows how kernels are compiled.

Options, each with its reason:

- ``nogil`` for kernels that move much, not for those that move one token: an update of one
  that gives the lock of the interpreter away must wait to get it back, beside a busy thread for
  most of a millisecond.
- ``boundscheck`` as the environment says (``NUMBA_BOUNDSCHECK``), off by default: every range is
  checked above the kernels.
- ``cache`` on disk, under a name that holds whatever Numba's own key leaves out.
- never ``parallel``: its default threading layer ends the process when two threads enter it.
- no ``fastmath`` for kernels that move: bytes are sacred. Those that add up (`reassociates`) may
  sum in another order and fuse a product with a sum, which is what lets LLVM use vectors. No flag
  assumes that there are no NaN, infinities or signed zeros.

A compiled kernel is called through its entry point, without the dispatcher that looks at the type
of every argument (600 ns, more than the copy itself). The entry point looks at item sizes alone,
which is why float16 and bfloat16 arrays pass as words of two bytes, and why whoever calls a
kernel has checked ``ndim`` before: a wrong one is read beyond its end.
"""

from __future__ import annotations

import ctypes
import types as python_types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import llvmlite.binding
import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

from ._version import __version__

__all__ = [
    "Kernel",
    "adding_helper",
    "by_row",
    "cache_folder",
    "compiled",
    "float64",
    "helper",
    "int64",
    "int64_pairs",
    "int64s",
    "move_bytes",
    "on_disk",
    "rows_at",
    "source_rows",
    "weights",
    "word_bytes",
]

_settings: Any = numba.config  # from the environment, NUMBA_...

# Numba's key knows the file of a kernel, not those of the functions that it calls.
_FOLDER = Path(__file__).parent
_SOURCES = [
    *sorted(_FOLDER.glob("_jit*.py")),
    *sorted(_FOLDER.glob("kernels*.py")),
    _FOLDER / "attention/kernel.py",
    _FOLDER / "attention/tiles.py",
]
_SOURCE = crc32(b"".join(path.read_bytes() for path in _SOURCES if path.exists()))

_ADDING_UP = {"reassoc", "contract"}

Kernel: TypeAlias = Callable[..., int]

# Functions that kernels call. Plain Python where jit is off, inlined by LLVM where it is on.
helper = register_jitable
# The same for kernels that add up: what is inlined keeps the options it was written with.
adding_helper = register_jitable(fastmath=_ADDING_UP, forceinline=True)

int64 = types.int64
int64s = types.Array(types.int64, 1, "C")
int64_pairs = types.Array(types.int64, 2, "C")
float64 = types.float64


def weights(name: str) -> types.Type:
    """The type of attention weights, or of the words they are made of: 4-D, contiguous."""
    return types.Array(getattr(types, name), 4, "C", readonly=True)


def by_row(name: str) -> types.Type:
    """The type of what weights come to, ``(batch, rows)``."""
    return types.Array(getattr(types, name), 2, "C")


def source_rows(word_bytes: int) -> types.Type:
    """The type of the 4-D arrays that callers bring: any strides, perhaps read-only."""
    word: Any = {1: types.uint8, 2: types.uint16, 4: types.uint32, 8: types.uint64}[word_bytes]
    return types.Array(word, 4, "A", readonly=True)


# Functions for use inside kernels. Each has two bodies: what Numba compiles, and a plain Python
# twin for the run without jit.


def word_bytes(array: NDArray[Any]) -> int:
    """Bytes of one element. In a kernel a constant, which ``array.itemsize`` is not; LLVM moves
    many elements at a time only if it knows that a stride equals it."""
    return array.itemsize


@overload(word_bytes)
def _word_bytes(array):  # type: ignore[no-untyped-def]  # Numba compares the two signatures
    width = array.dtype.bitwidth // 8
    return lambda array: width


def rows_at(address: int, shape: tuple[int, ...], like: NDArray[Any]) -> NDArray[Any]:
    """The contiguous array of `shape` at an address, its elements like those of `like`.

    Unpacking an array argument costs a kernel 35 ns, an address in a block it has already 2. Nor
    are references counted, which an array in a tuple costs an atomic operation at every use.
    """
    memory: Any = ctypes.c_char * (like.itemsize * int(np.prod(shape)))
    return np.frombuffer(memory.from_address(int(address)), dtype=like.dtype).reshape(shape)


@overload(rows_at)
def _rows_at(address, shape, like):  # type: ignore[no-untyped-def]
    return lambda address, shape, like: numba.carray(_pointer(address, like), shape)  # type: ignore


@intrinsic
def _pointer(typing_context, address, like):  # type: ignore[no-untyped-def]
    """An address as a pointer to elements like those of an array."""
    pointer: Any = types.CPointer(like.dtype)  # type: ignore[no-untyped-call]

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(address, like), generate


def move_bytes(to: int, start: int, nbytes: int) -> None:
    """Copy `nbytes` from address `start` to address `to`, which do not overlap.

    The system's memcpy beats a loop of wide moves: it need not read what it overwrites.
    """
    ctypes.memmove(int(to), int(start), int(nbytes))


@overload(move_bytes)
def _move_bytes(to, start, nbytes):  # type: ignore[no-untyped-def]
    return lambda to, start, nbytes: _memcpy(to, start, nbytes)  # type: ignore


@intrinsic
def _memcpy(typing_context, to, start, nbytes):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        pointer = context.get_value_type(types.voidptr)
        target, source = (builder.inttoptr(argument, pointer) for argument in arguments[:2])
        cgutils.raw_memcpy(builder, target, source, arguments[2], 1)  # type: ignore
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


def compiled(
    function: Callable[..., int],
    arguments: tuple[types.Type, ...],
    *,
    releases_gil: bool,
    works: Callable[[Kernel], bool],
    reassociates: bool = False,
) -> Kernel:
    """`function` as machine code for one tuple of argument types.

    Parameters
    ----------
    function : callable
        Explicit loops over arrays, returning an int.
    arguments : tuple of numba types
        The one signature there will be: nothing compiles in the middle of a decode loop.
    releases_gil : bool
        Whether other Python threads run while the kernel does.
    reassociates : bool
        Whether sums may be taken in another order.
    works : callable
        Tries a kernel on small arrays; an entry point that fails gives way to the dispatcher.

    Returns
    -------
    callable
        Takes arrays of any dtype whose items are as wide as the signature's.
    """
    if _settings.DISABLE_JIT:
        return _on_words(function, arguments)
    options = _options(releases_gil, reassociates)
    dispatcher = _dispatcher(function, types.int64(*arguments), options)
    entry: Kernel = next(iter(dispatcher.overloads.values())).entry_point
    return entry if works(entry) else _on_words(dispatcher, arguments)


def on_disk(
    function: Callable[..., int],
    arguments: tuple[types.Type, ...],
    *,
    releases_gil: bool,
    reassociates: bool = False,
    **_: object,
) -> bool:
    """Whether `compiled`, called like this, would find the machine code in the disk cache."""
    folder, options = cache_folder(function), _options(releases_gil, reassociates)
    twin = _renamed(function, types.int64(*arguments), options)
    return folder is not None and any(folder.glob(f"*{twin.__qualname__}-*.nbi"))


def cache_folder(function: Callable[..., int]) -> Path | None:
    """Where Numba keeps the machine code of a kernel; None where it keeps none."""
    try:
        dispatcher: Any = numba.njit(cache=True)(function)
        return Path(dispatcher._cache.cache_path)
    except Exception:  # without jit, without a folder to write to, ...
        return None


def _options(releases_gil: bool, reassociates: bool) -> dict[str, Any]:
    return {"nogil": releases_gil} | ({"fastmath": _ADDING_UP} if reassociates else {})


def _dispatcher(function: Callable[..., int], signature: Any, options: dict[str, Any]) -> Any:
    """Numba's compiled function. An error of the kernel itself comes up here, without the cache."""
    twin = _renamed(function, signature, options)
    found = _cached(twin, signature, options)
    return found if found is not None else numba.njit(signature, **options)(twin)


def _cached(function: Callable[..., int], signature: Any, options: dict[str, Any]) -> Any:
    """Compile with the disk cache; None where that cannot be had.

    No folder to write to, a full disk, a file cut short: Numba raises something different for
    each, and none of them is a reason not to run. A damaged cache is emptied and tried once more.
    """
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except Exception:
        return None
    for emptied in (False, True):
        try:
            if emptied:
                dispatcher._cache.flush()
            dispatcher.compile(signature)
            return dispatcher
        except Exception:
            continue
    return None


def _renamed(
    function: Callable[..., int], signature: Any, options: dict[str, Any]
) -> Callable[..., int]:
    """A copy whose name, and so its cache file, tells apart all that Numba's key leaves out.

    Numba numbers the machine codes in one index per function name, so two processes that start
    at once can write each other's number: one would run a kernel for words of another width. A
    name of its own for each leaves one entry per index. Options, the bounds check and the
    intrinsics of this file are in no key at all.
    """
    assert isinstance(function, python_types.FunctionType)
    twin = python_types.FunctionType(function.__code__, function.__globals__, function.__name__)
    cpu = llvmlite.binding.get_host_cpu_name()
    build = (__version__, _SOURCE, cpu, _settings.BOUNDSCHECK, _told(options), signature)
    twin.__qualname__ = f"{function.__name__}_{crc32(repr(build).encode()):08x}"
    twin.__module__ = function.__module__
    twin.__doc__ = function.__doc__
    return twin


def _told(options: dict[str, Any]) -> list[tuple[str, Any]]:
    """Options in an order that does not change from run to run, as that of a set does."""
    return sorted((k, sorted(v) if isinstance(v, set) else v) for k, v in options.items())


def _on_words(function: Callable[..., int], arguments: tuple[types.Type, ...]) -> Kernel:
    """`function` behind a wrapper that shows it arrays as the words its signature names."""
    words = [getattr(np, str(a.dtype)) if isinstance(a, types.Array) else None for a in arguments]

    def kernel(*args: Any) -> int:
        with np.errstate(all="ignore"):  # machine code warns of nothing either
            given = zip(args, words, strict=True)
            return function(*[a if w is None else a.view(w) for a, w in given])

    return kernel
