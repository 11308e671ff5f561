"""A program under test: JSON, one object a line, over its stdin and stdout.

It is started once and set up anew for every history; one that dies, hangs or answers nonsense is
killed, which is a finding, and started again for the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import subprocess
import tempfile
from time import monotonic
from typing import IO, Any

from .observations import BackendBrokeError, UnsupportedError

__all__ = ["Program", "RefusedError"]

CONTRACT = 1
LONGEST_ANSWER = 1 << 26  # bytes
START_SECONDS = 10.0  # what the first answer may take besides: interpreters load their libraries


class RefusedError(Exception):
    """The program answered with an error: it refused the operation."""


class Program:
    """The process, and one question and answer at a time.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    seconds : float
        How long an answer may take.
    """

    def __init__(self, command: list[str], seconds: float = 10.0) -> None:
        self.command = command
        self.seconds = seconds
        self.transcript: list[str] = []  # what was sent since the last history began
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._said: IO[bytes] | None = None  # what it writes to stderr
        self._starting = False

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request; the answer.

        Raises
        ------
        RefusedError, UnsupportedError
            If that is the answer.
        BackendBrokeError
            If the program died, did not answer in time, or not in the protocol's form. It is not
            running then.
        """
        self._starting = self._process is None
        if self._starting:
            self._start()
        line = json.dumps(request, separators=(",", ":"))
        self.transcript.append(line)
        try:
            self._check_quiet(request["op"])
            self._send(line.encode() + b"\n")
            text = self._line()
            answer = json.loads(text)
        except BackendBrokeError:
            self.close()
            raise
        except (ValueError, RecursionError):  # brackets nested more deeply than Python can
            self._break("nonsense", f"the answer to {request['op']} is no JSON: {text[:80]!r}")
        except BaseException:  # Ctrl-C: what is half sent cannot be gone on with
            self.close()
            raise
        if not isinstance(answer, dict):
            self._break("nonsense", f"the answer to {request['op']} is no object: {text[:80]!r}")
        return self._judged(request["op"], answer)

    def nonsense(self, what: str) -> BackendBrokeError:
        """For an answer that has not the form it should have."""
        return BackendBrokeError("nonsense", what)

    def close(self) -> None:
        """End the program, if it is running."""
        process, self._process = self._process, None
        self._received = b""
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()
        if self._said is not None:
            self._said.close()

    def _judged(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if "unsupported" in answer:
            raise UnsupportedError(str(answer["unsupported"]))
        if "error" in answer:
            raise RefusedError(str(answer["error"]))
        if answer.get("ok") is not True and operation != "hello":
            given = json.dumps(answer)[:80]
            said = 'an "ok" other than true' if "ok" in answer else 'neither "ok" nor "error"'
            self._break("nonsense", f"the answer to {operation} has {said}: {given}")
        return answer

    def _start(self) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the program
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                self.command, stdin=pipe, stdout=pipe, stderr=self._said
            )
        except OSError:
            self._said.close()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        os.set_blocking(self._process.stdout.fileno(), False)

    def _send(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        pipe, until = self._process.stdin.fileno(), monotonic() + self.seconds
        while data:
            self._wait(pipe, selectors.EVENT_WRITE, until, "takes no request")
            try:
                data = data[os.write(pipe, data) :]
            except BrokenPipeError:
                self._died()

    def _line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        pipe, until = self._process.stdout.fileno(), monotonic() + self.seconds
        while b"\n" not in self._received:
            self._wait(pipe, selectors.EVENT_READ, until, "gave no answer")
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                self._died()
            self._received += chunk
            if len(self._received) > LONGEST_ANSWER:
                self._break("nonsense", f"the answer is longer than {LONGEST_ANSWER} bytes")
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _check_quiet(self, operation: str) -> None:
        """Nothing has been said since the last answer, which would be taken for the next one."""
        assert self._process is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            self._received += os.read(self._process.stdout.fileno(), 1 << 16)
        if self._received:
            what = f"before {operation} was asked there was an answer to nothing"
            self._break("nonsense", f"{what}: {self._received[:80]!r}")

    def _wait(self, pipe: int, event: int, until: float, what: str) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            extra = START_SECONDS if self._starting else 0.0
            if not selector.select(max(until - monotonic(), 0) + extra):
                self._break("hung", f"the program {what} within {self.seconds + extra:g} s")

    def _died(self) -> None:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            self._break("died", "the program closed its stdout")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        assert self._said is not None
        self._said.seek(0)
        last = self._said.read()[-4096:].decode(errors="replace").strip().splitlines()
        said = f"; it said: {last[-1][:120]}" if last else ""
        self._break("died", f"{shlex.join(self.command)} ended with {how}{said}")

    def _break(self, invariant: str, message: str) -> None:
        self.close()
        raise BackendBrokeError(invariant, message)
