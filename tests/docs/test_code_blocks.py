"""Every block of code in the manual does what the page says, or the page says why it is not run."""

import configparser
import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys

import pytest

import kvring
from tests.docs.blocks import DOCS, PAGES_RUN_ELSEWHERE, blocks, pages
from tests.support import ROOT

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
# Enough to find what a page says is found, and less than what `make conformance` searches.
FEW = ["--max-examples", "60"]


def pages_with(*languages):
    names = [page for page in pages() if page.name not in PAGES_RUN_ELSEWHERE]
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in names
        if any(block.language in languages for block in blocks(page))
    ]


def missing(block):
    return [name for name in block.needs if importlib.util.find_spec(name) is None]


def run_python(block, names):
    """Run one block in the page's namespace: an interpreter's session, or plain code."""
    if ">>>" not in block.code:
        exec(compile("\n" * block.line + block.code, str(block.page), "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.code, names, block.where, None, block.line)
    said = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert not runner.failures, "".join(said)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own, whose modules can be imported, as a reader would work in one."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("page", pages_with("python", "pycon"))
def test_the_python_of_a_page_runs_from_top_to_bottom(page, folder):
    names = {"__name__": "manual"}
    left_out = []
    for block in blocks(page):
        if block.language not in ("python", "pycon") or block.by_hand:
            continue
        if missing(block):
            left_out.append(f"{block.where} needs {', '.join(missing(block))}")
            continue
        if block.saved_as:
            (folder / block.saved_as).write_text(block.code)
        run_python(block, names)
    if left_out:
        pytest.skip("; ".join(left_out))


def test_pages_that_need_torch_are_those_that_make_users_runs():
    needing = {
        str(page.relative_to(ROOT))
        for page in pages()
        if page.name not in PAGES_RUN_ELSEWHERE and any("torch" in b.needs for b in blocks(page))
    }
    assert needing == set(re.findall(r"top_to_bottom\[(.*)\]", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("page", pages_with("sh"))
def test_the_commands_of_a_page_can_be_given(page, folder):
    for block in blocks(page):
        if block.saved_as:
            (folder / block.saved_as).write_text(block.code)
        if block.language == "sh" and not block.by_hand and not missing(block):
            for line in block.code.replace("\\\n", " ").splitlines():
                if line.split("#")[0].strip():
                    check_command(line, block)


def check_command(line, block):
    """Run a command of kvring; of others see that what they name is there."""
    command, _, said = line.partition("#")
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:
        check_extras(words, block)
    elif words[0] == "make":
        check_target(words, block)
    elif words[:3] == ["python", "-m", "kvring"] or words[0] == "kvring":
        run_kvring(words[3:] if words[0] == "python" else words[1:], said, block)
    elif words[0] == "python":
        path = ROOT / words[1]
        assert path.exists(), f"{block.where}: there is no {words[1]}"
    else:
        raise AssertionError(f"{block.where}: who runs {command!r}? Mark it: <!-- by hand: ... -->")


def check_extras(words, block):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    known = set(config["options.extras_require"])
    for extras in re.findall(r"(?:kvring|\.)\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= known, f"{block.where}: no extra {extras}"


def check_target(words, block):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [word for word in words[1:] if "=" not in word]
    assert set(named) <= targets, f"{block.where}: make has no {named}"


def run_kvring(arguments, said, block):
    """Run it in the page's folder; `exit code 1` in the comment is what it must end with."""
    expected = re.search(r"exit code (\d)", said)
    if arguments[:1] == ["check"]:
        arguments = ["check", *FEW, *arguments[1:]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.getcwd()])}
    done = subprocess.run(
        [sys.executable, "-m", "kvring", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    code = int(expected[1]) if expected else 0
    assert done.returncode == code, f"{block.where}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_every_block_says_its_language_and_each_language_has_somebody_who_runs_it(page):
    for block in blocks(page):
        run = {"python", "pycon", "sh"}
        assert block.language in run or block.by_hand, (
            f"{block.where}: nobody runs {block.language!r}; mark it <!-- by hand: ... -->, or say"
            f" text, json or nothing if it is no code"
        )


def test_copies_of_files_are_like_the_files():
    copies = [block for page in pages() for block in blocks(page) if block.file]
    assert copies
    for block in copies:
        assert block.code == (block.page.parent / block.file).read_text(), block.where


def test_every_error_is_on_the_page_of_errors():
    text = (DOCS / "reference" / "errors.md").read_text()
    errors = [name for name in kvring.__all__ if name.endswith("Error")]
    assert [name for name in errors if f"`{name}`" not in text] == ["KVRingError"]
