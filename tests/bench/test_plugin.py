"""The pytest plugin: silent by itself, and a person's own cache beside kvring from any folder."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from kvring.bench import rival, session
from kvring.bench.group import build
from kvring.bench.rivals import ATTENTION, CACHES, OURS
from kvring.bench.session import quantity

from .tiny import ATTENTION_CASES, CACHE_CASES, PROCESS_CASES

pytest_plugins = "pytester"

DOCS = Path(__file__).parents[2] / "docs" / "own-cache.md"
WRONG_ATTENTION = """
import numpy as np

class Zeros:
    def __init__(self, setup):
        self.setup = setup
    def load(self, keys, values, query):
        pass
    def attend(self):
        return np.zeros((self.setup.query_heads, self.setup.head_dim))
"""


def example():
    """The cache that the documentation gives to copy."""
    return re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL).group(1)


@pytest.fixture
def tiny(monkeypatch):
    # A pytest within pytest forgets the modules that it loaded: two classes of one name, and
    # libraries that cannot be loaded twice. So kvring is loaded before, and the others stay out.
    for case in (CACHE_CASES[0], ATTENTION_CASES[0]):
        known = ATTENTION if case.operation == "attention" else CACHES
        build(case, {OURS: known[OURS]}).close()
    light = (OURS, "np.concatenate", "np.roll", "bare slices", "plain read")
    for known, rivals in (("CACHES", CACHES), ("ATTENTION", ATTENTION)):
        monkeypatch.setattr(session, known, {n: rivals[n] for n in light if n in rivals})
    some = [*CACHE_CASES[:4], ATTENTION_CASES[0], PROCESS_CASES[1]]
    monkeypatch.setattr(session, "cases", lambda quick: some[:1] if quick else some)


def run(pytester, *arguments):
    # The plugin of this very environment, whatever else is installed in it.
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "--benchmark-only", *arguments)


@pytest.mark.usefixtures("tiny")
def test_a_cache_of_ones_own_is_timed_beside_kvring(pytester):
    pytester.makepyfile(my_cache=example())
    pytester.makepyfile(test_other="def test_other():\n    raise SystemError('not collected')")
    done = run(
        pytester,
        *("--kvring-rival", "my_cache:MyCache", "--kvring-seconds", "0.01"),
        *("--kvring-json", "measured.json"),
    )
    # Of five cases, it cannot do the two with a window.
    done.assert_outcomes(passed=8, skipped=2)
    done.stdout.fnmatch_lines(["*ratios within each round*", "update: 40 tokens, append"])
    records = json.loads((pytester.path / "measured.json").read_text())
    mine = {(r["operation"], r["family"]): r for r in records if r["rival"] == "my_cache:MyCache"}
    assert mine["update", "append"]["ratio"] > 0
    assert mine["update", "window"]["left_out"] == "keeps every row"


@pytest.mark.usefixtures("tiny")
def test_what_ships_with_kvring_takes_part_on_request_and_wrong_attention_fails(
    pytester, monkeypatch
):
    quick_ones = [*CACHE_CASES[:4], ATTENTION_CASES[0]]  # processes are in the test above
    monkeypatch.setattr(session, "cases", lambda quick: quick_ones)
    pytester.makepyfile(mine=WRONG_ATTENTION)
    done = run(
        pytester,
        *("--kvring-all", "--kvring-attention-rival", "mine:Zeros", "--kvring-seconds", "0.01"),
    )
    # Four rivals in four cases, of which np.roll cannot do two; three in attention.
    done.assert_outcomes(passed=4 * 4 - 2 + 2, skipped=2, failed=1)
    done.stdout.fnmatch_lines(["*expected attention to within*"])


@pytest.mark.usefixtures("tiny")
def test_disabled_benchmarks_run_once_untimed(pytester):
    pytester.makepyfile(my_cache=example())
    arguments = ("--kvring-rival", "my_cache:MyCache", "--kvring-quick", "--benchmark-disable")
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
    done.assert_outcomes(passed=2)
    done.stdout.no_fnmatch_line("*ratios within*")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kvring-rival", "nonsense"], "*expected package.module:factory, got 'nonsense'*"),
        (["--kvring-all", "-p", "no:benchmark"], "*needs pytest-benchmark*"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(pytester, arguments, message):
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([message])


def test_without_its_options_the_plugin_does_nothing(pytester):
    pytester.makepyfile("def test_one():\n    pass")
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*kvring:*")


def test_pytest_starts_without_numpy_and_numba(tmp_path):
    code = "import sys\ndef test_it():\n    assert not {'numpy', 'numba'} & set(sys.modules)\n"
    code += "    assert 'kvring.bench.plugin' in sys.modules\n"
    (tmp_path / "test_it.py").write_text(code)
    # Other plugins may load NumPy; the benchmark and hypothesis plugins are known not to need it.
    others = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *others]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="times compiled kernels")
def test_the_command_of_the_documentation_works_from_an_empty_folder(tmp_path):
    (tmp_path / "my_cache.py").write_text(example())
    pytest_command = Path(sys.executable).with_name("pytest")
    done = subprocess.run(
        [
            *(pytest_command, "--benchmark-only", "--kvring-rival", "my_cache:MyCache"),
            *("--kvring-quick", "--kvring-seconds", "0.05", "-k", "prefill or float16"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "times kvring" in done.stdout


def test_the_example_in_the_docstring_is_the_one_in_the_documentation():
    indented = re.sub(r"(?m)^(?=.)", "    ", example())
    assert indented in (rival.__doc__ or "")


def test_quantities_have_the_unit_that_suits_them():
    shown = [quantity(value, "update") for value in (3e-7, 0.0125, 3.0)]
    assert shown == ["0.3 us", "12.5 ms", "3.00 s"]
