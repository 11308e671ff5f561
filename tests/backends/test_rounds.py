"""The driver of `make backends`, on rings that are wrong in two places."""

import ast
import functools
import json
from dataclasses import replace

from kvring.testing.steps import Reorder, Trace, Truncate, Update
from tests.backends.__main__ import EXPECTED, check
from tests.backends.catalogue import LIBRARIES
from tests.backends.findings import PAGE, SNIPPETS, distinct
from tests.backends.rounds import is_known, key_of, rounds, still_found
from tests.conformance.rings.concatenating import AppendAll


class WrongTwice(AppendAll):
    """Reset leaves a token, and repeat puts batch rows in another order."""

    supports = replace(
        AppendAll.supports,
        layouts=("BSHD",),
        without=dict.fromkeys(("truncate", "copy", "save", "select", "reorder"), ""),
    )

    def reset(self):
        for layer in self.layers:
            self.drop(layer, min(layer.seq_len, 1))

    def repeat(self, times):
        self.take([row for _ in range(times) for row in range(self.batch)])


class WrongInUpdate(AppendAll):
    """Every second token is forgotten at once."""

    def add(self, held, keys, values):
        super().add(held, keys, values)
        if held.seq_len % 2 == 0:
            held.keep(held.positions < held.seq_len - 1)


@functools.cache
def judged(factory):
    return list(rounds(factory, max_examples=60, time_limit=60))


def test_what_hides_behind_the_first_finding_is_found_in_the_next_round():
    outcomes = judged(WrongTwice)
    found = [outcome.divergence for _, outcome in outcomes]
    assert found[-1] is None, "what is left is clean"
    operations = {step.op for one in found[:-1] for step in one.trace.steps}
    assert {"reset", "repeat"} <= operations
    assert outcomes[0][0] == ()
    assert set(outcomes[-1][0]) == {"no reset", "no repeat"}


def test_a_mistake_of_update_itself_leaves_nothing_more_to_judge():
    outcomes = judged(WrongInUpdate)
    assert all(outcome.divergence is not None for _, outcome in outcomes)


def test_a_recorded_trace_is_found_again_and_is_gone_from_a_right_ring():
    trace = judged(WrongTwice)[0][1].divergence.trace.to_json()
    assert still_found(WrongTwice, trace) is not None
    assert still_found(AppendAll, trace) is None


def test_a_finding_is_known_by_its_operations_and_its_invariant():
    assert is_known("reset + truncate + stale", ["truncate + stale"])
    assert not is_known("truncate + stale", ["reset + truncate + stale"])
    assert not is_known("truncate + missing", ["truncate + stale"])
    assert not is_known("stale", [])


def test_a_key_names_every_operation_once():
    trace = type("", (), {"steps": [Update(1), Truncate(0), Reorder((0,)), Truncate(0)]})
    assert key_of(trace, "stale") == "reorder + truncate + stale"


def test_findings_with_more_operations_than_another_are_left_out_of_the_page():
    found = [{"key": "repeat + truncate + stale", "notes": "abc"}, {"key": "stale", "notes": "ab"}]
    assert distinct({"cache": "a:b", "findings": found}) == [found[1]]


def result(found=(), replayed=("stale",)):
    return [{"cache": "a:b", "findings": list(found), "replayed": list(replayed)}]


def test_ci_fails_on_a_new_finding_and_on_one_that_is_gone(tmp_path, monkeypatch, capsys):
    expected = tmp_path / "expected.json"
    entry = {"key": "truncate + stale", "invariant": "stale", "text": "the report"}
    expected.write_text(json.dumps({"a:b": [entry]}))
    monkeypatch.setattr("tests.backends.__main__.EXPECTED", expected)
    assert not check(result())
    assert check(result(replayed=[""]))
    assert "vanished" in capsys.readouterr().out
    assert not check(result([{"key": "truncate + stale", "text": ""}]))
    assert check(result([{"key": "missing", "text": "another report"}]))
    assert "another report" in capsys.readouterr().out


def test_every_script_that_a_note_names_is_there_and_every_note_is_of_a_cache_that_is_judged():
    notes = json.loads((SNIPPETS.parent / "notes.json").read_text())
    judged_caches = {cache for library in LIBRARIES.values() for cache in library.caches}
    assert set(notes) <= judged_caches
    scripts = {entry["script"] for found in notes.values() for entry in found.values()} - {""}
    assert scripts == {path.stem for path in SNIPPETS.glob("*.py")}


def test_expected_findings_are_on_the_page_and_their_traces_can_be_read():
    page = PAGE.read_text()
    expected = json.loads(EXPECTED.read_text())
    assert expected
    for cache, entries in expected.items():
        found = [{**e, "notes": Trace.from_json(e["trace"]).steps} for e in entries]
        assert distinct({"cache": cache, "findings": found}) == found
        for entry in found:
            assert entry["text"] in page
            assert entry["notes"]


def test_the_adapter_that_is_shown_has_under_sixty_lines_and_offers_what_an_adapter_must():
    page = (PAGE.parent / "backends.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    (adapter,) = [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef)]
    assert len(code.splitlines()) < 60
    defined = {node.name for node in adapter.body if isinstance(node, ast.FunctionDef)}
    assert {"__init__", "update"} <= defined


def test_every_adapter_of_the_catalogue_is_there():
    adapters = PAGE.parents[1] / "kvring" / "testing" / "backends"
    for library in LIBRARIES.values():
        for cache in (*library.caches, *(known.cache for known in library.known)):
            module, _, factory = cache.partition(":")
            assert f"\ndef {factory}(" in (adapters / f"{module}.py").read_text(), cache


def test_what_is_known_to_be_wrong_was_found_again_within_six_operations():
    section = PAGE.read_text().partition("## Known bugs of older releases")[2]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    known = [known for library in LIBRARIES.values() for known in library.known]
    assert len(rows) == len(known)
    for row in rows:
        steps = row[-1].strip(" |").split("<br>")
        assert steps != [""], row
        assert min(map(int, steps)) <= 6, row
