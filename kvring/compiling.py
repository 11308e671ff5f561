"""Kernels as machine code: compiled once, by whoever needs one first, in a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Lock, Thread
from typing import Any, TypeAlias

import numpy as np

from . import _jit, forking
from .kernels import DONE, TICKET, Kernel, new_block, put_row, put_rows
from .kernels_apart import put_batch_rows
from .kernels_assembled import put_assembled
from .kernels_weights import largest_by_row, sum_by_row

__all__ = [
    "APART",
    "ASSEMBLING",
    "ATTENDED",
    "VARIANTS",
    "WEIGHING",
    "Kernel",
    "attention_kernel",
    "kernel",
    "on_disk",
]

# All that a width needs: (name, releases_gil). For chunks that overwrite rows of their own window
# one more, and two where batch rows go apart.
VARIANTS = (("put_row", False), ("put_rows", False), ("put_rows", True))
ASSEMBLING = (("put_assembled", True),)
APART = (("put_batch_rows", False), ("put_batch_rows", True))
# What `observe` needs, for weights of 4 or 8 bytes.
WEIGHING = tuple(
    (name, free) for name in ("sum_by_row", "largest_by_row") for free in (False, True)
)

# The storage that attention reads.
ATTENDED = ("float32", "float16", "bfloat16")

Wanted: TypeAlias = tuple[str, int | str, bool]  # name, width or dtype, releases_gil

_compiled: dict[Wanted, Kernel] = {}
_under_way: dict[Wanted, Future[Kernel]] = {}
_starting = Lock()


def _before_fork() -> None:
    """Wait for the compiler: a child forked in the middle of it could never compile anything."""
    forking.hold(_starting)
    for future in list(_under_way.values()):
        wait([future], forking.PATIENCE_SECONDS)


def _after_fork() -> None:
    global _starting
    _starting = Lock()
    _under_way.clear()  # a thread that compiles has stayed behind in the parent


if hasattr(os, "register_at_fork"):
    forking.last_before_fork(_before_fork)
    os.register_at_fork(after_in_child=_after_fork)


def kernel(name: str, word_bytes: int, *, releases_gil: bool = False) -> Kernel:
    """The kernel `name` of one of the lists above for words of so many bytes.

    Compiled once per process, whoever comes first: about half a second, or a tenth from the disk
    cache. In a thread of its own, because signals reach the main thread only: a Ctrl-C in the
    middle of the compiler leaves it unable to compile anything again. Interrupted here is only the
    waiting, and the next call finds the kernel ready.
    """
    return _ready((name, word_bytes, releases_gil))


def attention_kernel(dtype_name: str) -> Kernel:
    """`attend_rows` for storage of "float32", "float16" or "bfloat16"; it releases the GIL.

    As `kernel`, but it takes ten seconds, or a tenth of one from the disk cache. Hence no second
    one that keeps the GIL, for the few rows that are read before another thread can take it.
    """
    return _ready(("attend_rows", dtype_name, True))


def _ready(wanted: Wanted) -> Kernel:
    found = _compiled.get(wanted)
    if found is None:
        found = _waited_for(wanted)
        _compiled[wanted] = found
    return found


def _waited_for(wanted: Wanted) -> Kernel:
    try:
        return _start(wanted).result()
    except RuntimeError as error:
        # Ctrl-C in the middle of Python's own waiting may end in "cannot release un-acquired lock".
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def _start(wanted: Wanted) -> Future[Kernel]:
    """The compilation of a kernel, started if it is not under way or has failed."""
    with _starting:
        future = _under_way.get(wanted)
        if future is None or (future.done() and future.exception() is not None):
            future = _under_way[wanted] = Future()
            Thread(target=_run, args=(future, wanted), name=f"kvring compiles {wanted[0]}").start()
    return future


def on_disk(name: str, kind: int | str, *, releases_gil: bool) -> bool:
    """Whether a kernel is in the disk cache: `kind` is a width in bytes, or a dtype's name."""
    return bool(_made((name, kind, releases_gil), _jit.on_disk))


def _run(future: Future[Kernel], wanted: Wanted) -> None:
    try:
        future.set_result(_made(wanted, _jit.compiled))
    except BaseException as error:
        future.set_exception(error)


def _made(wanted: Wanted, make: Callable[..., Any]) -> Any:
    """What `make` makes of the function, the types and the options of a kernel."""
    name, kind, releases_gil = wanted
    if isinstance(kind, str):
        return _compile_attention(kind, make)
    compile_it = _compile_weighing if (name, releases_gil) in WEIGHING else _compile
    return compile_it(name, kind, releases_gil, make)


def _compile(name: str, word_bytes: int, releases_gil: bool, make: Callable[..., Any]) -> Any:
    source = _jit.source_rows(word_bytes)
    functions: dict[str, tuple[Kernel, tuple[Any, ...]]] = {
        "put_row": (put_row, (_jit.int64,)),
        "put_rows": (put_rows, (_jit.int64s,)),
        "put_batch_rows": (put_batch_rows, (_jit.int64_pairs, _jit.int64, _jit.int64)),
        "put_assembled": (put_assembled, (_jit.int64_pairs, *[_jit.int64] * 4)),
    }
    function, last = functions[name]
    return make(
        function,
        (_jit.int64s, source, source, _jit.int64, _jit.int64, *last),
        releases_gil=releases_gil,
        works=lambda entry: _works(entry, name, word_bytes),
    )


def _compile_weighing(
    name: str, word_bytes: int, releases_gil: bool, make: Callable[..., Any]
) -> Any:
    number, word = f"float{8 * word_bytes}", f"int{8 * word_bytes}"
    sums = name == "sum_by_row"
    arrays = (_jit.weights(number), _jit.by_row("float64")) if sums else (_jit.by_row(word),)

    def works(entry: Kernel) -> bool:
        given = np.ones((1, 2, 1, 1), number)
        given.flags.writeable = False
        out = np.zeros((1, 1), "float64" if sums else word)
        entry(given.view(word), *((given, out) if sums else (out,)))
        return bool(out[0, 0] == (2 if sums else given.view(word)[0, 0, 0, 0]))

    function = sum_by_row if sums else largest_by_row
    return make(function, (_jit.weights(word), *arrays), releases_gil=releases_gil, works=works)


def _compile_attention(dtype_name: str, make: Callable[..., Any]) -> Any:
    from . import _jit_floats as floats  # with Numba's intrinsics: what only moves needs none
    from .attention.kernel import attend_rows

    stored = floats.stored_rows(dtype_name)
    given = [floats.floats(4, any_strides=True, readonly=True), stored, stored, _jit.int64_pairs]
    sink_logits, results = floats.floats(1, readonly=True), [4, 3, 4, 1]
    arrays = [*given, sink_logits, *map(floats.floats, results)]
    numbers = [_jit.float64] * 2 + [_jit.int64] * 6
    return make(
        attend_rows,
        (*arrays, *numbers),
        releases_gil=True,
        reassociates=True,
        works=lambda entry: _attends(entry, dtype_name),
    )


def _attends(entry: Kernel, dtype_name: str) -> bool:
    """Try the kernel on one row, which the query sees whole: the output is that row's value."""
    query, value = np.zeros((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32)
    # A bfloat16 is the upper half of a float32, its second word.
    stored: Any = value.view(np.int16)[..., 1:].copy() if dtype_name == "bfloat16" else None
    row = value.astype(dtype_name) if stored is None else stored
    for given in (query, row):
        given.flags.writeable = False
    out, spans, empty = query.copy(), np.array([[0, 0, 1, 0, 0]]), np.empty(0, np.float32)
    nothing = empty.reshape(0, 0, 0), empty.reshape(0, 0, 0, 0), np.empty(64, np.float32)
    entry(query, row, row, spans, empty, out, *nothing, 1.0, 0.0, 0, 1, 0, 1, 0, 1)
    return float(out[0, 0, 0, 0]) == 1


def _works(entry: Kernel, name: str, word_bytes: int) -> bool:
    """Try a kernel on arrays like those it will get: other dtypes of its width, read-only."""
    dtype = {1: np.int8, 2: np.float16, 4: np.float32, 8: np.float64}[word_bytes]
    for token_axis in (1, 2):
        target = np.zeros((2, 2, 3, 3, 2), dtype)
        row = (np.arange(2 * 3 * 2, dtype=dtype) + 1).reshape(2, 1, 3, 2)
        row = row if token_axis == 1 else row.transpose(0, 2, 1, 3)
        row.flags.writeable = False
        shown = np.zeros((2, *row.shape), dtype)
        ways: dict[str, tuple[Any, ...]] = {
            "put_row": (2,),
            "put_rows": (np.array([2]),),
            "put_batch_rows": (np.array([[2], [2]]), 0, 2),
            "put_assembled": (np.array([[-1, 2, 1, 0]]), 0, 1, *(s.ctypes.data for s in shown)),
        }
        block = new_block(target[0], target[1], token_axis)
        code = entry(block, row, row, 7, 0, *ways[name])
        wanted = np.zeros(target.shape[1:], dtype)
        wanted[(slice(None),) * token_axis + (slice(2, 3),)] = row
        if code != DONE or block[TICKET] != 7 or not (target == wanted).all():
            return False
        if name == "put_assembled" and not (shown == row).all():
            return False
    return True
