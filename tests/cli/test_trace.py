"""``kvring trace``: each step drawn, as text, data and pictures."""

from __future__ import annotations

import json
import re
import shlex
from xml.etree import ElementTree

import pytest

from kvring.drawing import ring_svg, slot_time_map_svg
from tests.cli.running import WORKED_EXAMPLE, command, on_terminal, run
from tests.support import ROOT

STEPS = ["9", "1", "1", "3", "truncate:12", "truncate:3", "5"]


def test_each_step_is_drawn_with_slots_head_and_what_is_visible(capsys):
    code, out, err = run(capsys, "trace", WORKED_EXAMPLE, *STEPS)
    assert (code, err) == (0, "")
    assert (
        """
1 token   seq_len 10, evicted 3
slot        0 |  1    2    3    4    5    6
holds       0 |  7    8    9    4    5    6
visible     * |  *    *    *              *
new           |            +
                           ^ newest row
head: the oldest row, which position 10 replaces ^
"""
        in out
    )
    assert "truncate(12)   seq_len 12, dropped 12, 13" in out
    assert "Its queries saw 0-8. 1, 2 have no slot any more, so the view is assembled." in out


def test_a_refused_step_is_shown_with_its_reason_and_the_trace_goes_on(capsys):
    _, out, _ = run(capsys, "trace", WORKED_EXAMPLE, *STEPS)
    assert "truncate(3)   refused, nothing has changed" in out
    assert "position 1 is gone" in out
    assert out.index("refused") < out.index("5 tokens   seq_len 17")


def test_eviction_says_who_gives_way_next(capsys):
    mode = "append(capacity=6, eviction=lru, sink_tokens=1)"
    code, out, _ = run(capsys, "trace", mode, "6", "touch:1", "pin:2", "1")
    assert code == 0
    assert "^ the oldest row, which position 6 replaces" in out
    assert "^ gives way to position 6" in out
    assert "pin(2)   seq_len 6, pinned 2" in out
    assert "1 token   seq_len 7, evicted 3, pinned 2" in out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_the_terminal(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(capsys, "trace", "circular(40, 4, 8)", "70", "1", "truncate:2", "truncate:40")
    drawn = [line for line in out.splitlines() if not line.startswith("Circular")]
    assert max(map(len, drawn)) <= columns
    assert any(".." in line for line in drawn) == (columns < 200)


def test_data_has_everything_that_is_drawn(capsys):
    code, out, _ = run(capsys, "trace", WORKED_EXAMPLE, *STEPS, "--json")
    first, *steps = json.loads(out)
    assert code == 0
    assert first["step"] is None
    assert [step["step"] for step in steps][-2:] == ["truncate(3)", "5 tokens"]
    assert steps[0]["slots"] == [0, 7, 8, 3, 4, 5, 6]
    assert steps[0]["assembled"] == [1, 2]
    assert "position 1 is gone" in steps[-2]["refusal"]
    assert steps[-1]["refusal"] is None


def test_pictures_are_those_of_the_drawing_module(capsys, tmp_path):
    path = tmp_path / "picture.svg"
    code, out, _ = run(capsys, "trace", WORKED_EXAMPLE, *STEPS, "--svg", path)
    assert code == 0
    assert "newest row" in out
    assert path.read_text() == slot_time_map_svg(WORKED_EXAMPLE, STEPS)
    run(capsys, "trace", WORKED_EXAMPLE, "9", "--svg", path, "--picture", "ring", "--theme", "dark")
    assert path.read_text() == ring_svg(WORKED_EXAMPLE, [9], theme="dark")


def test_a_picture_can_go_to_stdout_alone(capsys):
    code, out, _ = run(capsys, "trace", WORKED_EXAMPLE, "9", "--svg", "-")
    assert code == 0
    assert ElementTree.fromstring(out).tag.endswith("svg")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["circular(4)", "trunkate:3"], "did you mean 'truncate'?"),
        (["circular(4)", "3", "--svg", "/no/such/folder/x.svg"], "cannot be written: No such file"),
        (["circular(30)", "3", "--svg", "-", "--picture", "ring"], "at most 24 slots"),
        (["append(1000000000)", "3"], "too many to draw, expected at most 5,000,000 slots"),
        (["append(4)", "999999999999"], "too many to draw, expected at most 1,250,000 tokens"),
        (["append(4)", "update:999999999999"], "999,999,999,999 tokens in a layer of 4 slots"),
        (["append(10000)", "2237"], "too many to draw, expected at most 2,236 tokens"),
        (["append(4)", "9" * 19], "a number of 19 digits is too large to draw"),
        (["append(4)", "truncate:" + "9" * 5000], "a number of 5000 digits is too large to draw"),
    ],
)
def test_what_cannot_be_drawn_says_why(arguments, words, capsys):
    code, _, err = run(capsys, "trace", *arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_colours_are_for_terminals_that_want_them():
    arguments = ("trace", WORKED_EXAMPLE, "9", "1")
    code, shown = on_terminal(*arguments)
    assert code == 0
    assert "\x1b[1;32m" in shown
    for setting in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal(*arguments, **setting)[1]
    process = command(*arguments, TERM="xterm-256color")
    assert "\x1b" not in process.communicate(timeout=60)[0]


def test_the_page_about_the_command_line_shows_what_is_printed(capsys):
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    typed, shown = re.search(r"```sh\n(kvring .*)\n```\n\n```text\n(.*?)```", page, re.S).groups()
    code, out, _ = run(capsys, *shlex.split(typed)[1:])
    assert code == 0
    assert out == shown


def test_every_trace_of_that_page_can_be_drawn(capsys, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    typed = re.findall(r"^kvring trace .*", page, re.MULTILINE)
    assert len(typed) >= 5
    monkeypatch.chdir(tmp_path)
    for line in typed:
        assert run(capsys, *shlex.split(line)[1:])[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"map.svg", "ring.svg"}
