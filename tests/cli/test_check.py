"""``kvring check``: what is new beside tests/conformance/test_check_command.py."""

from __future__ import annotations

import json

import pytest

from kvring.cli import check
from tests.cli.running import run

RIGHT = "tests.conformance.small:Everything"
WRONG = "tests.conformance.small:SeesOneTooMany"


def test_vectors_alone_need_no_hypothesis(capsys, monkeypatch):
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    code, out, _ = run(capsys, "check", RIGHT, "--no-search")
    assert code == 0
    assert "search     not run" in out
    assert "passed" in out
    assert "clean: no query saw anything but what the contract says" in out


def test_vectors_alone_find_what_is_wrong(capsys):
    code, out, _ = run(capsys, "check", WRONG, "--no-search", "--json", "-")
    found = json.loads(out)
    assert code == 1
    assert found["verdict"] == "wrong"
    assert found["vectors"]["failed"] > 0
    assert len(found["divergences"]) == 1


def test_a_search_without_hypothesis_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    code, out, err = run(capsys, "check", RIGHT)
    assert (code, out) == (2, "")
    assert "the search needs Hypothesis: pip install hypothesis; or --no-search" in err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("tests.conformance.small:Everythin", "no 'Everythin'; did you mean 'Everything'?"),
        ("tests.conformance.small:Zzz", "has no 'Zzz'\n"),
    ],
)
def test_a_factory_that_is_not_there_is_told_of_one_that_is(target, words, capsys):
    code, _, err = run(capsys, "check", target)
    assert code == 2
    assert words in err


def test_the_cache_of_kvring_passes_its_own_vectors(capsys):
    target = "kvring.testing.backends.kvring_cache:temporal"
    assert run(capsys, "check", target, "--no-search")[0] == 0
