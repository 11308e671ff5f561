"""Running commands: in this process, as a process, and as a process that has a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from functools import partial

from kvring.cli import main
from tests.support import ROOT

WORKED_EXAMPLE = "circular(window=4, sink_tokens=1, rollback_tokens=2)"


def run(capsys, *arguments):
    """Exit code, stdout and stderr of a command in this process."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    return code, said.out, said.err


def command(*arguments, **settings):
    """A process that runs a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "kvring", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
        # What a shell has put into the background, and so all that it starts, ignores Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def on_terminal(*arguments, columns=80, **settings):
    """Exit code and all that a terminal shows, escapes and all."""
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **settings}
    environment = {name: value for name, value in environment.items() if value}
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kvring", *arguments],
        cwd=ROOT,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([leader], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    return process.wait(timeout=60), shown.decode()
