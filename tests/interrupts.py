"""Ways to interrupt a call: at one chosen bytecode, or by real signals."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
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
