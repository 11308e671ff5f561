"""``kvring``: what is common to all commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import kvring
from kvring import warm
from kvring.cli import COMMANDS, main
from kvring.errors import ConfigError
from tests.cli.running import WORKED_EXAMPLE, command, run
from tests.support import ROOT


def test_kvring_alone_shows_what_one_can_do(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert all(f"    {name} " in out for name in COMMANDS)
    assert "examples:" in out
    assert "exit codes: 0 done, 1 findings (check), 2 wrong arguments" in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_version_comes_from_one_place(capsys):
    assert run(capsys, "--version")[1] == f"kvring {kvring.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_exit_codes(name, capsys):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert f"usage: kvring {name}" in out
    assert "examples:\n  kvring" in out
    assert "exit codes: 0" in out
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trac"], "kvring: error: there is no 'trac'; did you mean 'trace'?"),
        (["warmup"], "there is no 'warmup'; did you mean 'warm-up'?"),
        (["fly"], "there is no 'fly'; expected check, bench, trace, inspect, info or warm-up"),
        (["--versoin"], "required: COMMAND"),
        (["trace", "circular(4)", "3", "--svq"], "'--svq'; did you mean '--svg'?"),
        (["trace", "circular(4)", "3", "--svq=x"], "'--svq=x'; did you mean '--svg'?"),
        (["trace", "circular(4)", "1", "--theme", "drak"], "no 'drak'; did you mean 'dark'?"),
        (["trace", "circular(4)"], "required: STEP"),
        (["info", "everything"], "unknown argument 'everything'; there is no room for it"),
        (["bench", "--only", "updaet"], "there is no 'updaet'; did you mean 'update'?"),
        (["bench", "--only", "first"], "no 'first'; did you mean 'first use'?"),
        (["bench", "--only", "first", "use"], "no 'first'; did you mean 'first use'?"),
        (["bench", "--only", "x"], "expected update, chunk, prefill,"),
        (["bench", "--only", "x"], "memory or 'first use'"),
        (["bench", "--seconds", "0"], "expected 0.01 or more, got 0"),
        (["bench", "--seconds", "soon"], "expected a number, got 'soon'"),
        (["check", "a:b", "--max-examples", "0"], "expected 1 or more, got 0"),
        (["check", "a:b", "--no-search", "--no-vectors"], "not allowed with argument"),
    ],
)
def test_a_wrong_argument_is_told_what_would_be_right(arguments, words, capsys):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: kvring" in err
    assert words in err
    assert "--help shows what there is, with examples" in err.splitlines()[-1]


def test_an_error_of_kvring_is_one_line_with_the_name_of_the_command(capsys):
    code, out, err = run(capsys, "trace", "cirular(4)", "1")
    assert (code, out) == (2, "")
    assert err.startswith("kvring trace: mode: there is no 'cirular'; did you mean 'circular'?")
    assert err.count("\n") == 1


def test_ctrl_c_ends_a_command_in_one_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(warm, "warm_up", interrupted)
    code, out, err = run(capsys, "warm-up")
    assert (code, out, err.strip()) == (130, "", "interrupted")


def test_ctrl_c_ends_a_measurement_at_once_and_without_a_traceback():
    process = command("bench", "--only", "prefill", "--seconds", "600", PYTHONUNBUFFERED="1")
    assert "times are medians" in process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted"
    assert "Traceback" not in out


def test_a_compiler_that_is_still_at_work_is_not_waited_for():
    code = (
        "import threading, time, kvring.cli as cli;"
        "threading.Thread(target=time.sleep, args=(60,)).start();"
        "cli.main = lambda: 130; cli.entry()"
    )
    started = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 130
    assert time.monotonic() - started < 30
    assert threading.active_count() >= 1


def test_nobody_hears_of_a_broken_pipe():
    process = command("trace", "circular(9)", *["1"] * 500)
    assert process.stdout.readline().startswith("Circular(window=9")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
    process.stderr.close()


def test_a_broken_pipe_has_an_exit_code_of_its_own(capsys, monkeypatch):
    def broken(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(warm, "warm_up", broken)
    assert run(capsys, "warm-up") == (141, "", "")


def test_a_file_that_cannot_be_read_is_named(capsys):
    code, _, err = run(capsys, "inspect", "no/such/file")
    assert (code, err) == (2, "kvring inspect: no/such/file: No such file or directory\n")


def test_errors_that_are_mistakes_of_kvring_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(warm, "warm_up", broken)
    with pytest.raises(ZeroDivisionError):
        main(["warm-up"])


@pytest.mark.parametrize("arguments", [[], ["trace", WORKED_EXAMPLE, "9"], ["inspect", "x"]])
def test_what_needs_no_kernel_loads_neither_numba_nor_rich(arguments):
    code = (
        "import sys; from kvring.cli import main;"
        f"main({arguments!r});"
        "loaded = {'numba', 'kvring.cache', 'rich', 'hypothesis'} & set(sys.modules);"
        "sys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_script_that_is_installed_does_what_the_module_does():
    script = os.path.join(os.path.dirname(sys.executable), "kvring")
    outputs = [
        subprocess.run([*way, "--version"], capture_output=True, text=True, check=True).stdout
        for way in ([script], [sys.executable, "-m", "kvring"])
    ]
    assert outputs[0] == outputs[1] == f"kvring {kvring.__version__}\n"


def test_every_example_of_a_help_text_can_be_parsed(capsys):
    from kvring.drawing.steps import mode_of, step_of

    seen = 0
    for name in COMMANDS:
        for line in run(capsys, name, "--help")[1].splitlines():
            found = re.match(r'  kvring trace "([^"]*)" ([^-]*)', line)
            if found:
                assert mode_of(found.group(1))
                assert all(step_of(step) for step in found.group(2).split())
                seen += 1
    assert seen >= 4


def test_config_errors_are_known_to_the_command_line():
    assert issubclass(ConfigError, kvring.KVRingError)
