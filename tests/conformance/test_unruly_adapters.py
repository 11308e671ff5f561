"""Adapters that leave, or give the oracle nothing to judge: a verdict in words, never silence."""

import sys

import pytest

from kvring.cli import main
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
