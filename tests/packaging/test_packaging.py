"""What can be said of the package without building it; `make dist-check` builds and installs it."""

from __future__ import annotations

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest

import kvring
from tests.packaging.environment import interpreter
from tests.support import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def test_the_version_stands_in_one_place():
    assert SETUP["metadata"]["version"] == "attr: kvring._version.__version__"
    written = [
        path
        for path in (ROOT / "kvring").rglob("*.py")
        if re.search(r"^__version__ = ", path.read_text(), re.MULTILINE)
    ]
    assert [path.name for path in written] == ["_version.py"]
    assert metadata.version("kvring") == kvring.__version__


def test_the_command_is_installed():
    (script,) = (
        entry
        for entry in metadata.distribution("kvring").entry_points
        if entry.group == "console_scripts"
    )
    assert (script.name, script.value) == ("kvring", "kvring.cli:entry")
    assert callable(script.load())


def test_only_numpy_and_numba_are_needed():
    needed = SETUP["options"]["install_requires"].split()
    assert [re.match(r"\w+", line).group() for line in needed] == ["numpy", "numba"]


def test_files_that_are_no_python_are_in_the_wheel():
    data = SETUP["options.package_data"]
    others = [
        path
        for path in (ROOT / "kvring").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
    ]
    assert (ROOT / "kvring" / "py.typed") in others
    for path in others:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        patterns = [pattern.strip() for pattern in data[package].split(",")]
        assert any(path.match(pattern) for pattern in patterns), path


def test_every_extra_that_a_message_names_is_there():
    named = set()
    for path in [*(ROOT / "kvring").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]:
        named |= set(re.findall(r"install '\.\[(\w+)\]'", path.read_text()))
    assert {"cli", "oracle"} <= named
    assert named <= set(SETUP["options.extras_require"])


def test_the_pythons_that_are_promised_are_those_that_are_tried():
    from tests.packaging.__main__ import OLDEST, PYTHONS

    classifiers = SETUP["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)", classifiers) == list(PYTHONS)
    assert SETUP["options"]["python_requires"] == f">={PYTHONS[0]}"
    promised = dict(line.split(">=") for line in SETUP["options"]["install_requires"].split())
    for pin in OLDEST:
        name, release = pin.split("==")
        assert release.startswith(promised[name])


def test_the_changelog_has_the_form_of_keep_a_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "keepachangelog.com" in text
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", h) for h in headings[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)", text, re.MULTILINE)) <= kinds


def test_the_manifest_takes_along_what_the_tests_need():
    manifest = (ROOT / "MANIFEST.in").read_text()
    for name in ("graft tests", "graft docs", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"):
        assert name in manifest


@pytest.fixture
def pyenv(tmp_path, monkeypatch):
    """A folder of interpreters, and none on PATH."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "versions"


def test_an_interpreter_that_is_not_there_is_not_found(pyenv):
    assert interpreter("3.10") is None


def test_the_newest_interpreter_of_a_version_that_works_is_found(pyenv):
    for release, says in (("3.10.2", "3.10"), ("3.10.13", "3.10"), ("3.10.14", "3.9")):
        python = pyenv / release / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {says}\n")
        python.chmod(0o755)
    assert interpreter("3.10") == pyenv / "3.10.13" / "bin" / "python"
    assert isinstance(interpreter("3.10"), Path)
