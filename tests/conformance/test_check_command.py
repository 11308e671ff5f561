"""``python -m kvring check``: verdicts, exit codes, files, and what it does not load."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from xml.etree import ElementTree

import pytest

from kvring.cli import main
from tests.conformance import small
from tests.conformance.small import Everything
from tests.support import ROOT

RIGHT = "tests.conformance.small:Everything"
WRONG = "tests.conformance.small:SeesOneTooMany"
FEW = ["--max-examples", "60"]


def check(capsys, *arguments):
    """Exit code, stdout and stderr."""
    try:
        code = main(["check", *arguments])
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_right_cache_is_clean_and_what_was_not_tried_is_listed(capsys):
    code, out, _ = check(capsys, RIGHT, *FEW)
    assert code == 0
    assert "clean: no query saw anything but what the contract says" in out
    assert "not tried  copy: no such method" in out
    assert "not tried  wrong_shapes: nothing is checked" in out
    assert "passed" in out


def test_a_wrong_cache_is_reported_in_full(capsys):
    code, out, err = check(capsys, WRONG, *FEW)
    assert code == 1
    assert "stale: no query sees a token older than its window" in out
    assert "expected" in out
    assert "<- wrong" in out
    assert "from tests.conformance.small import SeesOneTooMany as make" in out
    assert "Traceback" not in out + err


def test_the_script_of_a_report_runs_without_the_oracle(capsys, tmp_path):
    _, out, _ = check(capsys, WRONG, *FEW, "--json", "-")
    script = json.loads(out)["divergences"][0]["snippet"]
    assert "kvring" not in script
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "[1, 2]]" in done.stdout  # with a window of 1


def test_the_same_seed_gives_the_same_verdict(capsys):
    def told():
        data = json.loads(check(capsys, WRONG, *FEW, "--seed", "7", "--json", "-")[1])
        data.pop("seconds")
        return data

    assert told() == told()


def test_json_and_junit_are_written_to_files(capsys, tmp_path):
    paths = [tmp_path / "verdict.json", tmp_path / "verdict.xml"]
    code, *_ = check(capsys, WRONG, *FEW, "--json", str(paths[0]), "--junit", str(paths[1]))
    assert code == 1
    data = json.loads(paths[0].read_text())
    assert (data["contract"], data["verdict"]) == (1, "wrong")
    assert data["divergences"][0]["invariant"] == "stale"
    suite = ElementTree.parse(paths[1]).getroot()
    assert suite.attrib["failures"] == "2"  # vectors and search
    assert "stale" in suite.find("testcase[@name='search']/failure").text


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (["no_such_module:Cache"], "no_such_module cannot be imported: ModuleNotFoundError"),
        (["tests.conformance.small:Nothing"], "tests.conformance.small has no 'Nothing'"),
        (["tests.conformance.small:CannotBeMade"], "the factory raised RuntimeError: no device"),
        (["tests.conformance.small:Wrong"], "no such thing as 'colour'"),
        (["--", "./no-such-program"], "expected package.module:factory, or -- and a program"),
        (["--", "/bin/true"], "does not say hello: /bin/true ended with exit code 0"),
        ([RIGHT, "--json", "/no/such/folder/file"], "the verdict cannot be written"),
    ],
)
def test_what_cannot_be_run_says_why_and_exits_with_2(capsys, target, words):
    options = [] if "--" in target else FEW
    code, _, err = check(capsys, *options, *target)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("wrong", [["--max-examples", "0"], ["--seed", "x"], []])
def test_a_wrong_option_is_an_error_of_use(capsys, wrong):
    code, _, err = check(capsys, *([RIGHT] if wrong else []), *wrong)
    assert code == 2
    assert "usage:" in err


def test_neither_numba_nor_the_cache_is_loaded():
    code = (
        "import sys; from kvring.cli import main;"
        f"code = main(['check', {RIGHT!r}, '--max-examples', '20']);"
        "loaded = {'numba', 'kvring.cache', 'kvring._jit'} & set(sys.modules);"
        "assert not loaded, loaded; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_a_search_stops_at_its_time_limit(capsys):
    started = time.monotonic()
    code, out, _ = check(capsys, RIGHT, "--max-examples", "1000000", "--time-limit", "1")
    assert code == 0
    assert "search" in out
    assert time.monotonic() - started < 30


def test_ctrl_c_ends_it_without_a_verdict_and_without_a_traceback():
    command = [sys.executable, "-m", "kvring", "check", RIGHT, "--max-examples", "1000000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"interrupted" in err
    assert b"Traceback" not in out + err


def test_ctrl_c_is_not_lost_when_it_comes_inside_something_that_drops_exceptions(monkeypatch):
    class Dropper(Everything):
        def update(self, layer, keys, values):
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return super().update(layer, keys, values)

    monkeypatch.setattr(small, "Everything", Dropper)
    before = signal.getsignal(signal.SIGINT)
    assert main(["check", "tests.conformance.small:Everything", "--no-vectors"]) == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_the_command_line_lists_its_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "check" in capsys.readouterr().out
    done = subprocess.run(
        [sys.executable, "-m", "kvring", "check", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert "exit codes: 0 clean, 1 findings, 2 could not run" in done.stdout
