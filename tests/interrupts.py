"""Ways to interrupt a call: at one chosen bytecode, or by real signals."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import kvring

PACKAGE = kvring.__path__[0]
# A compiled kernel is one call, which nothing interrupts; nor is its stand-in where jit is off.
KERNELS = (f"{PACKAGE}/kernels.py", f"{PACKAGE}/_jit.py")


class InterruptAt:
    """Raise KeyboardInterrupt before the n-th bytecode that kvring executes in this block.

    After the block `fired` says whether there were that many, and `where` which line it was.
    """

    def __init__(self, n: int) -> None:
        self.left = n
        self.fired = False
        self.where = ""

    def __enter__(self) -> InterruptAt:
        self._before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks at this when tracing begins
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        sys.settrace(self._before)
        return kind is KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        source = frame.f_code.co_filename
        if not source.startswith(PACKAGE) or source in KERNELS:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.fired = True
                self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._trace


@contextlib.contextmanager
def signals_every(seconds: float) -> Iterator[None]:
    """Raise KeyboardInterrupt again and again, from a timer signal, in the main thread."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def at_every_bytecode(call: Callable[[InterruptAt], Any], limit: int = 20_000) -> int:
    """Run `call` with an interrupt at its first bytecode, its second, ... until it completes.

    Returns
    -------
    int
        How many interrupts there were.
    """
    for n in range(1, limit):
        interrupt = InterruptAt(n)
        call(interrupt)
        if not interrupt.fired:
            return n - 1
    raise AssertionError(f"still interrupted after {limit} bytecodes")
