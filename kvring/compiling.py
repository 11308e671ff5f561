"""Kernels as machine code: compiled once, by whoever needs one first, in a thread of its own."""

from __future__ import annotations

import os
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any

import numpy as np

from . import _jit
from .kernels import DONE, TICKET, Kernel, new_block, put_row, put_rows

__all__ = ["VARIANTS", "Kernel", "kernel"]

# All there is to compile for a width: (name, releases_gil).
VARIANTS = (("put_row", False), ("put_rows", False), ("put_rows", True))

_compiled: dict[tuple[str, int, bool], Kernel] = {}
_under_way: dict[tuple[str, int, bool], Future[Kernel]] = {}
_starting = Lock()

if hasattr(os, "register_at_fork"):
    # The thread that compiles stays behind in the parent: the child starts anew.
    os.register_at_fork(after_in_child=_under_way.clear)


def kernel(name: str, word_bytes: int, *, releases_gil: bool = False) -> Kernel:
    """The kernel `name` ("put_row" or "put_rows") for words of 1, 2, 4 or 8 bytes.

    Compiled once per process, whoever comes first: about half a second, or a tenth from the disk
    cache. In a thread of its own, because signals reach the main thread only: a Ctrl-C in the
    middle of the compiler leaves it unable to compile anything again. Interrupted here is only the
    waiting, and the next call finds the kernel ready.
    """
    wanted = (name, word_bytes, releases_gil)
    found = _compiled.get(wanted)
    if found is None:
        found = _start(wanted).result()
        _compiled[wanted] = found
    return found


def _start(wanted: tuple[str, int, bool]) -> Future[Kernel]:
    """The compilation of a kernel, started if it is not under way or has failed."""
    with _starting:
        future = _under_way.get(wanted)
        if future is None or (future.done() and future.exception() is not None):
            future = _under_way[wanted] = Future()
            Thread(target=_run, args=(future, wanted), name=f"kvring compiles {wanted[0]}").start()
    return future


def _run(future: Future[Kernel], wanted: tuple[str, int, bool]) -> None:
    try:
        future.set_result(_compile(*wanted))
    except BaseException as error:
        future.set_exception(error)


def _compile(name: str, word_bytes: int, releases_gil: bool) -> Kernel:
    source = _jit.source_rows(word_bytes)
    functions: dict[str, tuple[Kernel, tuple[Any, ...]]] = {
        "put_row": (put_row, (_jit.int64,)),
        "put_rows": (put_rows, (_jit.int64s, _jit.int64)),
    }
    function, last = functions[name]
    return _jit.compiled(
        function,
        (_jit.int64s, source, source, _jit.int64, _jit.int64, *last),
        releases_gil=releases_gil,
        works=lambda entry: _works(entry, name, word_bytes),
    )


def _works(entry: Kernel, name: str, word_bytes: int) -> bool:
    """Try a kernel on arrays like those it will get: other dtypes of its width, read-only."""
    dtype = {1: np.int8, 2: np.float16, 4: np.float32, 8: np.float64}[word_bytes]
    last: tuple[Any, ...] = (2,) if name == "put_row" else (np.array([2]), 0)
    for token_axis in (1, 2):
        target = np.zeros((2, 2, 3, 3, 2), dtype)
        row = (np.arange(2 * 3 * 2, dtype=dtype) + 1).reshape(2, 1, 3, 2)
        row = row if token_axis == 1 else row.transpose(0, 2, 1, 3)
        row.flags.writeable = False
        block = new_block(target[0], target[1], token_axis)
        code = entry(block, row, row, 7, 0, *last)
        wanted = np.zeros(target.shape[1:], dtype)
        wanted[(slice(None),) * token_axis + (slice(2, 3),)] = row
        if code != DONE or block[TICKET] != 7 or not (target == wanted).all():
            return False
    return True
