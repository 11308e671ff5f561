"""Ctrl-C at any moment of a command: one line, no traceback, and the code that is promised."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial

import pytest

from kvring import warm
from tests.cli.running import run
from tests.support import ROOT

# Presses Ctrl-C when a module is looked for, in a way of its own.
PROCESS = """
import os, signal, sys, time

class Pressed:
    def find_spec(self, name, *_):
        if name == {module!r}:
            sys.meta_path.remove(self)
            {way}

def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)

def become_another():
    try:
        press()
    except KeyboardInterrupt:
        pass
    raise ImportError("PyCapsule_Import could not import a module")

class Dropped:
    def __del__(self):
        press()

sys.argv = {arguments!r}
from kvring.cli import entry
sys.meta_path.insert(0, Pressed())
entry()
"""
WAYS = {
    "as usual": "press()",
    "through exec": "exec('press()')",
    "dropped in a finalizer": "Dropped()",
    "made another error": "become_another()",
}


def interrupted(arguments, module, way="press()"):
    """Exit code and stderr of a command that is interrupted while it imports a module."""
    code = PROCESS.format(arguments=["kvring", *arguments], module=module, way=way)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["info"], "kvring.cli.parser"),
        (["info"], "kvring.cli.info"),
        (["warm-up"], "kvring.warm"),
        (["warm-up"], "numba"),
        (["bench", "--only", "read"], "kvring.bench.session"),
    ],
)
def test_a_command_that_is_still_being_loaded_ends_in_one_line(arguments, module, way):
    assert interrupted(arguments, module, way) == (130, "interrupted")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("module", ["kvring.cli.check", "kvring.testing.probe"])
def test_check_has_no_verdict_when_it_is_interrupted_while_it_is_loaded(module, way):
    arguments = ["check", "kvring.testing.backends.kvring_cache:temporal"]
    assert interrupted(arguments, module, way) == (2, "interrupted: no verdict")


def test_ctrl_c_before_there_is_a_command_has_its_code():
    assert interrupted(["info"], "kvring.cli.interrupting") == (130, "")
    assert interrupted(["check", "a:b"], "kvring.cli.interrupting") == (2, "")


def test_ctrl_c_when_all_is_done_leaves_the_code_as_it_is():
    code = (
        "import atexit, os, signal, kvring.cli as cli;"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT);"
        "cli.main = lambda: {code}; cli.entry()"
    )
    for expected in (0, 1, 2):
        done = subprocess.run(
            [sys.executable, "-c", code.format(code=expected)],
            cwd=ROOT,
            capture_output=True,
            check=False,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        assert (done.returncode, done.stderr) == (expected, b"")


def test_an_error_that_somebody_made_of_ctrl_c_counts_as_ctrl_c(capsys, monkeypatch):
    def broken(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise SystemError("initialization raised an exception") from error

    monkeypatch.setattr(warm, "warm_up", broken)
    assert run(capsys, "warm-up") == (130, "", "\ninterrupted\n")


def test_other_errors_that_nobody_can_answer_are_shown_as_python_does():
    code = """
import kvring.cli as cli
class Broken:
    def __del__(self):
        raise ZeroDivisionError
def main():
    Broken()
    return 0
cli.main = main
cli.entry()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Exception ignored in" in done.stderr
    assert "ZeroDivisionError" in done.stderr
