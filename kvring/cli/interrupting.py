"""Ctrl-C in a process that is a command: one line, whatever it hits, and the code that is promised.

Python alone drops a KeyboardInterrupt in callbacks of the garbage collector and of imports, with a
traceback; kills itself by the signal, whatever code it was given, if the exception came through an
``exec``; and shows a traceback when it is interrupted at exit.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["heed", "leave"]


def heed() -> None:
    """Raise what is dropped somewhere once more, where it is not."""
    sys.unraisablehook = _dropped


def leave(code: int, *, at_once: bool) -> NoReturn:
    """End the process: at once, or when threads and exit handlers are done.

    At once is for whoever was interrupted: a kernel may be compiled in a thread, which Python would
    wait for.
    """

    def stop(number: int = 0, frame: FrameType | None = None) -> NoReturn:
        os._exit(code)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    if at_once:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            stop()
    sys.exit(code)


def _dropped(unraisable: sys.UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        # Not from here, where it would be dropped as well.
        _thread.start_new_thread(_again, ())
    else:
        sys.__unraisablehook__(unraisable)


def _again() -> None:
    time.sleep(0.01)
    _thread.interrupt_main()
