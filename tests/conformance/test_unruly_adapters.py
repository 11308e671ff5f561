"""Adapters that leave, or give the oracle nothing to judge: a verdict in words, never silence."""

import json
import sys
from xml.etree import ElementTree

import pytest

from kvring.cli import main
from kvring.testing import CouldNotRunError, UnsupportedError, find_divergence
from tests.conformance.small import Everything

HERE = "tests.conformance.test_unruly_adapters"


class ExitsInUpdate(Everything):
    def update(self, layer, keys, values):
        sys.exit(0)


class ExitsInFactory(Everything):
    def __init__(self, setup):
        sys.exit(0)


class ClosesItsGenerator(Everything):
    def update(self, layer, keys, values):
        raise GeneratorExit


class SpeaksToTheTerminal(Everything):
    def update(self, layer, keys, values):
        raise ValueError("\x1b[31mred\x00 \x08 <&>]]>\ud800")


class NeverUpdates(Everything):
    def update(self, layer, keys, values):
        raise UnsupportedError("not today")


class HasNoUpdate:
    def __init__(self, setup):
        pass


def check(capsys, *arguments):
    """Exit code, stdout and stderr."""
    try:
        code = main(["check", "--max-examples", "20", *arguments])
    except SystemExit as left:
        code = f"left with {left.code}"
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("name", "raised"), [("ExitsInUpdate", "SystemExit"), ("ClosesItsGenerator", "GeneratorExit")]
)
def test_an_operation_that_leaves_is_a_finding_like_any_other_exception(capsys, name, raised):
    code, out, _ = check(capsys, f"{HERE}:{name}")
    assert code == 1
    assert f"update raised {raised}" in out
    assert f"with suppress(BaseException):  # {raised}" in out


def test_a_factory_that_leaves_could_not_be_run(capsys):
    code, _, err = check(capsys, f"{HERE}:ExitsInFactory")
    assert code == 2
    assert "could not run: the factory raised SystemExit" in err


def test_a_module_that_leaves_could_not_be_run(capsys, monkeypatch, tmp_path):
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = check(capsys, "leaves:Cache")
    assert code == 2
    assert "could not run: leaves cannot be imported: SystemExit" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [f"{HERE}:NeverUpdates"],
        [f"{HERE}:NeverUpdates", "--no-search"],
        ["tests.conformance.small:Everything", "--no-vectors", "--time-limit", "0"],
    ],
)
def test_there_is_no_verdict_where_no_query_was_compared(capsys, arguments):
    code, out, err = check(capsys, *arguments)
    assert code == 2
    assert "clean" not in out
    assert "nothing was judged: expected at least one query to compare, got none" in err


def test_a_search_that_compared_nothing_does_not_return_as_if_all_were_well():
    with pytest.raises(CouldNotRunError, match=r"nothing was judged.*update: skipped"):
        find_divergence(NeverUpdates, max_examples=5)


def test_vectors_alone_are_a_verdict_when_the_search_has_no_time(capsys):
    code, out, _ = check(capsys, "tests.conformance.small:Everything", "--time-limit", "0")
    assert code == 0
    assert "search     not run" in out


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--time-limit", "-1", "expected 0 or more, got -1"),
        ("--time-limit", "nan", "expected a finite number, got 'nan'"),
        ("--operation-limit", "nan", "expected a finite number, got 'nan'"),
        ("--operation-limit", "inf", "expected a finite number, got 'inf'"),
        ("--operation-limit", "-2", "expected 0.001 or more, got -2"),
        ("--operation-limit", "0", "expected 0.001 or more, got 0"),
    ],
)
def test_a_limit_out_of_range_is_an_error_of_use(capsys, option, value, words):
    code, _, err = check(capsys, option, value, "--", "/bin/cat")
    assert code == "left with 2"
    assert words in err


def test_an_adapter_without_update_could_not_be_run(capsys):
    code, _, err = check(capsys, f"{HERE}:HasNoUpdate")
    assert code == 2
    assert "could not run: the factory made a HasNoUpdate: expected an adapter with a method" in err


def test_what_is_not_printable_is_escaped_wherever_it_is_told(capsys, tmp_path):
    xml = tmp_path / "verdict.xml"
    code, out, _ = check(capsys, f"{HERE}:SpeaksToTheTerminal", "--junit", str(xml))
    assert code == 1
    assert r"update raised ValueError: \x1b[31mred\x00 \x08 <&>]]>\ud800" in out
    assert not {"\x1b", "\x00", "\x08", "\ud800"} & set(out)
    for failure in ElementTree.parse(xml).getroot().iter("failure"):
        assert r"\x1b[31mred\x00" in failure.text


def test_junit_names_every_vector_that_failed_and_says_what_it_found(capsys, tmp_path):
    xml, json_file = tmp_path / "verdict.xml", tmp_path / "verdict.json"
    wrong = "tests.conformance.small:SeesOneTooMany"
    check(capsys, wrong, "--junit", str(xml), "--json", str(json_file))
    failed = json.loads(json_file.read_text())["failed_vectors"]
    failure = ElementTree.parse(xml).getroot().find("testcase[@name='vectors']/failure")
    assert failure.attrib["message"].startswith(
        f"{len(failed)} vectors failed: {failed[0]['id']}, "
    )
    for vector in failed:
        assert f"{vector['id']} ({vector['topic']}): {vector['message']}" in failure.text
