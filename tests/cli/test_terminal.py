"""Tables and progress, with rich and without it."""

from __future__ import annotations

import io
import sys

import pytest

from kvring.cli import terminal

HEAD = ("cache", ">time", "~notes")
ROWS = [("kvring", "1.5 us", ""), ("np.roll", "320 us", "its early queries lack 63 of 1,087 rows")]


@pytest.fixture(params=[True, False], ids=["rich", "plain"])
def rich(request, monkeypatch):
    monkeypatch.setattr(terminal, "has_rich", lambda: request.param)
    return request.param


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.usefixtures("rich")
def test_numbers_stand_to_the_right_and_nothing_is_lost(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    terminal.table(HEAD, ROWS, title="update")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "update"
    kvring, roll = (next(line for line in lines if name in line) for name in ("kvring", "np.roll"))
    assert kvring.index("1.5 us") + 6 == roll.index("320 us") + 6
    assert "its early queries lack 63 of 1,087 rows" in roll
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in "".join(lines)


@pytest.mark.usefixtures("rich")
def test_long_notes_take_several_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    terminal.table(HEAD, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 50
    assert "1,087" in "".join(lines)


def test_a_stdout_that_knows_no_lines_of_boxes_gets_ascii(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    terminal.table(HEAD, ROWS)
    out.seek(0)
    assert "np.roll" in out.read()


@pytest.mark.usefixtures("rich")
def test_progress_on_a_terminal_is_gone_at_the_end(monkeypatch):
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_REDRAWS", -1.0)
    with terminal.progress(3, "kernels") as tell:
        tell(1, "put_row")
        tell(2, "put_rows", 4)
    assert "kernels" in err.getvalue()
    assert err.getvalue().endswith(("\x1b[K", "\x1b[2K", "\x1b[?25h", "\n\x1b[1A\x1b[2K"))


def test_progress_in_a_log_is_a_line_now_and_then(monkeypatch, capsys):
    with terminal.progress(3, "kernels") as tell:
        tell(1, "put_row")
    assert capsys.readouterr().err == ""  # nothing has taken long yet
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", -1.0)
    with terminal.progress(3, "kernels") as tell:
        tell(1, "put_row")
        tell(2, "put_rows", 4)
    assert capsys.readouterr().err == "1 of 3 kernels: put_row\n2 of 4 kernels: put_rows\n"


def test_a_dumb_terminal_gets_lines(monkeypatch):
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", -1.0)
    with terminal.progress(3, "kernels") as tell:
        tell(1, "put_row")
    assert err.getvalue() == "1 of 3 kernels: put_row\n"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_need_a_terminal_that_wants_them(settings, wanted, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert terminal.coloured(Terminal()) is wanted
    assert terminal.coloured(io.StringIO()) is False
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert (terminal.paint("x", "bold") == "\x1b[1mx\x1b[0m") is wanted


def test_prose_is_broken_into_lines_on_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    prose = "left out: some rival (needs a library that is not here)"
    terminal.say(prose, indent=2)
    assert capsys.readouterr().out == prose + "\n"
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    terminal.say(prose, indent=2)
    assert out.getvalue().splitlines()[1].startswith("  ")
    assert max(map(len, out.getvalue().splitlines())) < 40
