"""The script in a report imports the factory by a name that there is, or says that it cannot."""

import os
import subprocess
import sys
from functools import partial

import pytest

from kvring.config import Append, Circular, Replace
from kvring.eviction import FIFO, LRU, HeavyHitter
from kvring.testing.importing import import_lines
from kvring.testing.search import search
from kvring.testing.setup import Setup, policy_name
from tests.conformance.small import SUPPORTS, SeesOneTooMany
from tests.support import ROOT

HERE = __name__


class Outer:
    class Inner(SeesOneTooMany):
        @classmethod
        def made(cls, setup):
            return cls(setup)


def _made_in_a_function():
    class Local(SeesOneTooMany):
        pass

    return Local


class Maker:
    supports = SUPPORTS

    def __call__(self, setup):
        return SeesOneTooMany(setup)

    def make(self, setup):
        return SeesOneTooMany(setup)


Local = _made_in_a_function()
by_lambda = lambda setup: SeesOneTooMany(setup)  # noqa: E731
by_partial = partial(SeesOneTooMany)
maker = Maker()


@pytest.mark.parametrize(
    ("factory", "lines"),
    [
        (Outer, [f"from {HERE} import Outer as make"]),
        (Outer.Inner, [f"import {HERE}", "", f"make = {HERE}.Outer.Inner"]),
        (Outer.Inner.made, [f"import {HERE}", "", f"make = {HERE}.Outer.Inner.made"]),
        (Local, [f"from {HERE} import Local as make"]),
        (by_lambda, [f"from {HERE} import by_lambda as make"]),
        (by_partial, [f"from {HERE} import by_partial as make"]),
        (maker, [f"from {HERE} import maker as make"]),
        (maker.make, [f"import {HERE}", "", f"make = {HERE}.maker.make"]),
    ],
)
def test_a_factory_that_a_module_names_is_imported_by_that_name(factory, lines):
    assert import_lines(factory) == lines
    names = {}
    exec("\n".join(lines), names)
    assert names["make"] == factory


@pytest.mark.parametrize(
    "factory", [_made_in_a_function(), lambda setup: None, partial(Outer), Maker(), Maker().make]
)
def test_a_factory_without_a_name_is_left_to_be_filled_in(factory):
    (line,) = import_lines(factory)
    assert line.startswith("make = ...  # your factory: ")
    compile(line, "snippet", "exec")


def test_a_factory_of_the_script_that_is_run_is_left_to_be_filled_in(tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(
        "from kvring.testing.importing import import_lines\n"
        "class Cache: pass\n"
        "print(*import_lines(Cache))\n"
    )

    def said(*command):
        command = [sys.executable, *command]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=env
        )
        return done.stdout.strip()

    assert said(str(script)) == "make = ...  # your factory: Cache cannot be imported by name"
    assert said("-m", "alone") == "from alone import Cache as make"


@pytest.mark.parametrize(
    "strategy",
    [
        Append(5),
        Append(5, LRU(0.5), sink_tokens=1),
        Append(5, HeavyHitter(2)),
        Append(5, FIFO()),
        Circular(4, 1, 2),
        Replace(3),
    ],
)
def test_a_strategy_has_the_same_attributes_in_the_script_as_in_the_oracle(strategy):
    def attributes(found):
        return {name for name in dir(found) if not name.startswith("_")}

    setup = Setup((strategy,))
    (given,), (plain,) = setup.strategies, setup.plain().strategies
    assert attributes(plain) == attributes(given)
    assert (plain.mode, plain.capacity) == (setup.mode, setup.capacity)
    if getattr(given, "eviction", None) is not None:
        assert attributes(plain.eviction) == attributes(given.eviction)
        assert plain.eviction.policy == policy_name(given)


@pytest.mark.parametrize("width", [8, 12])
def test_the_script_of_a_nested_factory_runs(width):
    supports = {**SUPPORTS, "head_dims": (width,)}
    divergence = search(Outer.Inner, supports=supports, max_examples=60).divergence
    done = subprocess.run(
        [sys.executable, "-c", divergence.snippet], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "batch row 0" in done.stdout
