"""Programs under test: what they say, and what becomes of those that die, hang or rave."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from kvring.cli import main
from kvring.config import Append, Circular
from kvring.testing import Setup
from kvring.testing.external import ProgramFactory
from kvring.testing.observations import BackendBrokeError
from kvring.testing.search import _TimeUp, search
from tests.conformance.small import SUPPORTS
from tests.support import ROOT

HARNESS = [sys.executable, str(ROOT / "tests/conformance/harness.py")]


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = []

    def start(how, seconds=5.0):
        made.append(ProgramFactory([*HARNESS, how], seconds))
        return made[-1]

    yield start
    for factory in made:
        factory.close()


def first_finding(factory):
    """What a search finds, not made any shorter: a program that breaks is started for each try."""

    def stop(outcome):
        if outcome.shrinking:
            raise _TimeUp

    return search(factory, max_examples=40, progress=stop).divergence


def test_a_right_program_is_clean(program):
    outcome = search(program("right"), max_examples=30)
    assert outcome.divergence is None
    assert outcome.operations > 100
    assert {"copy", "save", "read", "reorder"} <= set(outcome.supports.without)


def test_what_a_program_declares_is_taken_but_not_that_json_keeps_bits(program):
    factory = program("right")
    assert factory.name == "small"
    assert factory.supports.modes == tuple(SUPPORTS["modes"])
    assert not factory.supports.special_values


def test_a_wrong_program_is_found_and_its_lines_show_it_again(program):
    factory = program("wrong")
    divergence = search(factory, max_examples=100).divergence
    assert divergence.finding.invariant == "stale"
    assert len(divergence.trace.steps) <= 2
    assert str(divergence).count('{"op":"setup"') == 1
    again = subprocess.run(
        [sys.executable, "-c", divergence.snippet], capture_output=True, text=True, timeout=30
    )
    assert '"ok": true' in again.stdout, again.stderr


def test_a_program_is_not_sent_what_its_hello_says_it_lacks(program):
    outcome = search(program("knows no forms"), max_examples=30)
    assert outcome.divergence is None
    assert outcome.supports.without["seq_len_form"] == "not here"
    assert outcome.supports.without["ragged"] == "declared so"


def test_a_ragged_update_of_slots_names_its_counts_once(program, monkeypatch):
    factory = program("right")
    factory.supports = replace(factory.supports, observes="slots")
    asked = []
    answer = {"ok": True, "written": [[]], "visible": [[]]}
    monkeypatch.setattr(factory.program, "ask", lambda request: asked.append(request) or answer)
    factory.numbered(Setup((Append(3),))).update(0, [1], token_counts=[1], padding="left")
    assert asked == [
        {"op": "update", "cache": 0, "layer": 0, "token_counts": [1], "padding": "left"}
    ]


@pytest.mark.parametrize(
    ("how", "invariant", "words"),
    [
        ("dies", "died", "exit code 3; it said: out of memory"),
        ("is killed", "died", "signal 9"),
        ("raves", "nonsense", "no JSON"),
        ("answers a list", "nonsense", "no object"),
        ("says nothing", "nonsense", 'neither "ok" nor "error"'),
        ("nests", "nonsense", "no JSON"),
    ],
)
def test_a_program_that_misbehaves_is_a_finding(program, how, invariant, words):
    divergence = first_finding(program(how))
    assert divergence.finding.invariant == invariant
    assert words in divergence.finding.message
    assert invariant in str(divergence)


def test_a_slow_start_is_not_taken_for_hanging(program):
    factory = program("right", seconds=0.001)
    assert factory.name == "small"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"mask":5}', "mask cannot be read: expected a list, got 5"),
        ('{"mask":{"a":1}}', "mask cannot be read: expected a list, got {'a': 1}"),
        ('{"mask":[["x"]]}', "mask cannot be read: expected true and false"),
        ('{"mask":[[2]]}', "mask cannot be read: expected lists of true and false, got [[2]]"),
        ('{"mask":[[[1]],[[1]],[[1]],[[1]]]}', "mask cannot be read: expected one for each of"),
        ('{"positions":7}', "positions cannot be read: expected a list, got 7"),
        ('{"positions":[0.5]}', "positions cannot be read: expected integers"),
        ('{"positions":[[[0]]]}', "positions cannot be read: expected"),
        ('{"keys":[1,2,3]}', "keys cannot be read: expected three axes in each batch row, got 1"),
        ('{"keys":[[[["1"]]]]}', "keys cannot be read: expected numbers"),
        (
            '{"values":[[1,[2]]]}',
            "values cannot be read: expected numbers in lists of equal length",
        ),
        ('{"values":{"a":1}}', "the answer has no list 'values'"),
        ('{"seq_lens":3}', "seq_lens cannot be read: expected one list for each of"),
        ('{"seq_lens":[]}', "layers, got []"),
        ('{"ok":1}', 'an "ok" other than true'),
    ],
)
def test_an_answer_of_another_form_is_nonsense_and_says_why(program, answer, words):
    finding = first_finding(program(answer)).finding
    assert finding.invariant == "nonsense"
    assert words in finding.message


def test_a_mask_may_be_of_ones_and_zeros(program):
    backend = program('{"mask":[[1]]}')(Setup((Circular(3),)))
    row = np.zeros((1, 1, 1, 8))
    assert backend.update(0, row, row).mask[0].tolist() == [[True]]


def test_two_answers_to_one_request_are_nonsense(program):
    finding = first_finding(program("answers twice")).finding
    assert finding.invariant == "nonsense"
    assert "an answer to nothing" in finding.message


def test_what_a_program_answers_in_no_character_at_all_ends_in_no_traceback(capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = main(
        [
            *("check", "--max-examples", "5", "--time-limit", "1"),
            "--",
            *HARNESS,
            "refuses in half a character",
        ]
    )
    said = capsys.readouterr()
    assert code == 1
    assert r"RefusedError: \ud800" in said.out


@pytest.mark.parametrize(("how", "words"), [("hangs", "gave no answer"), ("closes", "closed")])
def test_a_program_that_hangs_is_a_finding_within_its_time_limit(program, how, words):
    divergence = first_finding(program(how, seconds=0.3))
    assert divergence.finding.invariant in ("hung", "died")
    assert words in divergence.finding.message


def test_a_program_that_has_died_is_started_again(program):
    factory = program("dies")
    first = factory.program._process.pid
    with pytest.raises(BackendBrokeError):
        factory.program._break("died", "for the test")
    assert factory.program.ask({"op": "hello", "contract": 1})["name"] == "small"
    assert factory.program._process.pid != first


def test_closing_ends_the_program(program):
    factory = program("right")
    process = factory.program._process
    factory.close()
    assert process.poll() is not None
    factory.close()
