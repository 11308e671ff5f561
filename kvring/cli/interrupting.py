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

__all__ = ["came_of_ctrl_c", "heed", "leave"]

_pressed: list[int] = []


def heed() -> None:
    """Remember every Ctrl-C, and raise what is dropped somewhere once more, where it is not."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)
    sys.unraisablehook = _dropped


def came_of_ctrl_c(error: BaseException) -> bool:
    """Whether an error is what somebody else made of a KeyboardInterrupt, as imports do in C.

    Some keep it as the error's cause; others, such as PyCapsule_Import, say nothing of it.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return bool(_pressed) or cause is not None


def leave(code: int, *, at_once: bool) -> NoReturn:
    """End the process: at once, or when threads and exit handlers are done.

    At once is for whoever was interrupted: a kernel may be compiled in a thread, which Python would
    wait for.
    """

    def stop(number: int = 0, frame: FrameType | None = None) -> NoReturn:
        os._exit(code)

    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _on_interrupt):
        signal.signal(signal.SIGINT, stop)
    if at_once:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            stop()
    sys.exit(code)


def _on_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _pressed.append(number)
    raise KeyboardInterrupt


def _dropped(unraisable: sys.UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        # Not from here, where it would be dropped as well.
        _thread.start_new_thread(_again, ())
    else:
        sys.__unraisablehook__(unraisable)


def _again() -> None:
    time.sleep(0.01)
    _thread.interrupt_main()
