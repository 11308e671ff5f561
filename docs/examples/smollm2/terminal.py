"""What the demo says besides its results: how far a long job is, and errors in plain words."""

import sys
import time


class DemoError(Exception):
    """Something the user can put right; shown as one line, without a traceback."""


class Progress:
    """One line on stderr that tells how far a long job is.

    On a terminal the line is redrawn in place and erased at the end. In a log it is written anew
    every two seconds, so that nobody has to wonder whether the program hangs.

    Parameters
    ----------
    job : str
        What is going on, such as ``"prefill"``.
    total : int
        How many units the job has.
    unit : str
        What is counted, such as ``"tokens"``.
    """

    def __init__(self, job: str, total: int, unit: str) -> None:
        self.job = job
        self.total = total
        self.unit = unit
        self.on_terminal = sys.stderr.isatty()
        self.seconds_between_lines = 0.1 if self.on_terminal else 2.0
        self.last_line_at = time.monotonic()
        self._write(f"{job} ...")

    def update(self, done: int) -> None:
        """Say that `done` units of the total are finished, unless a line was just written."""
        now = time.monotonic()
        if now - self.last_line_at >= self.seconds_between_lines:
            self.last_line_at = now
            self._write(f"{self.job}: {done} of {self.total} {self.unit}")

    def close(self) -> None:
        """Erase the line, where it can be erased."""
        if self.on_terminal:
            self._write("")

    def _write(self, text: str) -> None:
        line = f"\r\x1b[K{text}" if self.on_terminal else f"{text}\n"
        sys.stderr.write(line)
        sys.stderr.flush()
