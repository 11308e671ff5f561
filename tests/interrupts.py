"""Ways to interrupt a call: at one chosen bytecode, or by real signals."""

from __future__ import annotations

import dis
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from zlib import crc32

import kvring

PACKAGE = kvring.__path__[0]
# A call is interrupted at every fifth bytecode; `make threads` has every one of calls on a ring.
# Continuous integration has every 23rd.
STRIDE = int(os.environ.get("KVRING_BYTECODES", "5"))
# A compiled kernel is one call, which nothing interrupts; nor is its stand-in where jit is off.
KERNELS = (f"{PACKAGE}/_jit.py", *map(str, Path(PACKAGE).glob("kernels*.py")))


class InterruptAt:
    """Raise `error` before the n-th bytecode that kvring executes in this block.

    After the block `fired` says whether there were that many, `where` which line it was, and
    `at_exit` whether it was one where no signal arrives. `also` names one more file whose bytecodes
    count.
    """

    def __init__(
        self, n: int, error: type[BaseException] = KeyboardInterrupt, *, also: str = ""
    ) -> None:
        self.left = n
        self.error = error
        self.files = (PACKAGE, also) if also else (PACKAGE,)
        self.fired = False
        self.where = ""
        self.at_exit = False
        self.skips_exits = False  # go on to the next bytecode where no signal arrives
        self._at_bytecode = self._count  # bound once

    def __enter__(self) -> InterruptAt:
        self._before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at this when tracing begins
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        sys.settrace(self._before)
        return kind is self.error

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        source = frame.f_code.co_filename
        if self.fired or not source.startswith(self.files) or source in KERNELS:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._at_bytecode

    def _count(self, frame: FrameType, event: str, _: Any) -> Any:
        # Called for every bytecode, some thousand times as often as it raises.
        if event == "opcode":
            self.left -= 1
            if self.left <= 0 and not self.fired:
                self._raise_in(frame)
        return self._at_bytecode

    def _raise_in(self, frame: FrameType) -> None:
        if keeps_books(frame):
            return
        self.at_exit = leaves_a_with_block(frame)
        if self.skips_exits and (self.at_exit or opens_a_handler(frame)):
            return
        self.fired = True
        self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
        raise self.error


@cache
def instructions_of(code: CodeType) -> tuple[dis.Instruction, ...]:
    """The bytecodes of a function, in order."""
    return tuple(dis.get_instructions(code))


def leaves_a_with_block(frame: FrameType) -> bool:
    """Whether a frame is between a ``with`` block and the call of its `__enter__` or `__exit__`.

    Python looks for signals when a call returns, when a function begins and when a loop jumps back.
    There is none of these here: only constants, three times None, and the call itself. Nor where
    an `__enter__` returns: its last call came back inside its own ``try``.
    """
    for instruction in instructions_of(frame.f_code):
        if instruction.offset < frame.f_lasti:
            continue
        if instruction.opname in ("PUSH_EXC_INFO", "WITH_EXCEPT_START"):
            return True
        if frame.f_code.co_name == "__enter__" and instruction.opname == "RETURN_VALUE":
            return True
        if instruction.opname.startswith("CALL"):
            return instruction.arg in (2, 3)  # None, None, None; the first may count as self
        if instruction.opname == "LOAD_CONST" and instruction.argval is None:
            continue
        if instruction.opname not in ("NOP", "SWAP", "PRECALL", "ROT_TWO", "DUP_TOP"):
            return False
    return False


def keeps_books(frame: FrameType) -> bool:
    """Whether a frame is where the interpreter itself cannot bear an exception.

    Raised by a trace function where the exception under way is stored or put back, one leaves an
    older one behind for good, as the context of whatever is raised later; and raised between the
    names of a call's keywords and the call, it makes these the keywords of the next call there is.
    Signals arrive at none of these.
    """
    before = ""
    for instruction in instructions_of(frame.f_code):
        if instruction.offset == frame.f_lasti:
            name = instruction.opname
            return before == "KW_NAMES" or name in ("PUSH_EXC_INFO", "POP_EXCEPT", "COPY")
        if instruction.opname != "PRECALL":  # stands between the two in Python 3.11
            before = instruction.opname
    return False


def opens_a_handler(frame: FrameType) -> bool:
    """Whether a frame has caught an exception and only looks whether it is for this ``except``.

    There is no call, no beginning of a function and no loop in that, so no signal arrives.
    """
    looking = False
    for instruction in instructions_of(frame.f_code):
        if instruction.opname == "PUSH_EXC_INFO":
            looking = True
        elif not instruction.opname.startswith(("LOAD_GLOBAL", "CHECK_EXC", "POP_", "NOP")):
            looking = False
        if instruction.offset >= frame.f_lasti:
            return looking
    return False


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in whatever hangs longer, also where it waits for a lock."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"hangs for {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def let_go(held: kvring.KVCache, interrupt: InterruptAt) -> None:
    """Give back the locks that a trace function has left held where no signal could have."""
    for ring in held.rings:
        if ring.lock.locked():
            assert interrupt.at_exit, f"{interrupt.where}: a lock is held"
            ring.lock.release()


class OneSignal:
    """Raise one KeyboardInterrupt from a timer signal, `seconds` after the block has begun.

    One only: a second one would hit whatever cleans up after the first. It may come when the call
    in the block is through, so the block must expect it anywhere.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.armed = True

    def __enter__(self) -> OneSignal:
        self._before = signal.signal(signal.SIGALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _interrupt(self, *_: object) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt


def at_every_bytecode(
    call: Callable[[InterruptAt], Any],
    limit: int = 20_000,
    error: type[BaseException] = KeyboardInterrupt,
    *,
    also: str = "",
    stride: int = STRIDE,
) -> int:
    """Run `call` with interrupts at bytecodes that are `stride` apart, until it completes.

    The first one is chosen by the name of the test, so that tests of one call share the bytecodes.

    Returns
    -------
    int
        The last bytecode at which one arrived.
    """
    name = os.environ.get("PYTEST_CURRENT_TEST", "")
    for n in range(1 + crc32(name.encode()) % stride, limit, stride):
        interrupt = InterruptAt(n, error, also=also)
        call(interrupt)
        assert sys.exc_info()[0] is None, f"{interrupt.where}: the interpreter is out of step"
        if not interrupt.fired:
            return n - stride
    raise AssertionError(f"still interrupted after {limit} bytecodes")
