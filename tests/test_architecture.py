"""The shape of the code: import arrows, sizes, what loads what, one glossary."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import kvring

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "kvring").rglob("*.py"))
OURS = [path for folder in ("kvring", "tests", "docs") for path in (ROOT / folder).rglob("*.py")]
TOP_LEVEL = {
    *("setup.cfg", "pyproject.toml", "Makefile", "kvring", "tests", "docs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in"),
}


@cache
def tree_of(path):
    """A file as Python reads it, for all tests that look at it."""
    return ast.parse(path.read_text())


def names_of(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_imports_point_one_way():
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_two_jit_files_know_numba():
    knows = re.compile(r"^\s*(import|from) (numba|llvmlite)\b", re.MULTILINE)
    assert [p.name for p in PACKAGE if knows.search(p.read_text())] == [
        "_jit.py",
        "_jit_floats.py",
    ]


@pytest.mark.parametrize("path", OURS, ids=names_of(OURS))
def test_files_stay_under_300_lines_and_functions_under_40(path):
    assert path.read_text().count("\n") < 300
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{node.name}: {lines} lines"


# Adapters of other libraries call things by the names that those have.
OWN_WORDS = [path for path in PACKAGE if path.parent.name != "backends"]


@pytest.mark.parametrize("path", OWN_WORDS, ids=names_of(OWN_WORDS))
def test_words_that_mean_two_things_are_not_used(path):
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
    # `size` is NumPy's name for the number of elements.
    assert not names & {"offset", "heads", "sinks", "pos", "idx", "trim"}


@pytest.mark.parametrize("path", PACKAGE, ids=names_of(PACKAGE))
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout: nothing lists the files")
def test_the_top_level_holds_what_belongs_there_and_nothing_else():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    top = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize(
    "statement",
    ["import kvring", "from kvring import Append, KVRingError", "import kvring.reference"],
)
def test_importing_the_package_or_the_reference_loads_no_numba(statement):
    code = f"{statement}; import sys; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_there():
    for name in kvring.__all__:
        assert getattr(kvring, name) is not None
    assert dir(kvring) == sorted(kvring.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        kvring.nonsense  # noqa: B018
