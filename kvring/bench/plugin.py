"""The pytest plugin: ``pytest --benchmark-only --kvring-rival package.module:factory``.

Loaded by every pytest where kvring is installed, so it does nothing until one of its options is
used, and loads neither NumPy nor Numba before that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .session import BenchSession

__all__ = ["SESSION"]

SESSION: pytest.StashKey[BenchSession] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that begin with --kvring."""
    add = parser.getgroup("kvring", "KV caches beside kvring").addoption
    name = "PACKAGE.MODULE:FACTORY"
    add(
        *("--kvring-rival",),
        action="append",
        default=[],
        metavar=name,
        help="time this cache beside kvring (see kvring.bench.rival); may be repeated",
    )
    add(
        *("--kvring-attention-rival",),
        action="append",
        default=[],
        metavar=name,
        help="the same for attention (see kvring.bench.attention_rival)",
    )
    add(
        "--kvring-all",
        action="store_true",
        help="time the rivals that ship with kvring, as far as their libraries are installed",
    )
    add("--kvring-quick", action="store_true", help="fewer shapes")
    add("--kvring-json", metavar="PATH", help="write what was measured to this file")
    add(
        *("--kvring-seconds",),
        type=float,
        default=2.0,
        metavar="S",
        help="about how long the contestants of a case take turns (default: 2)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the cases to what is collected, if rivals were named."""
    option = config.option
    if not (option.kvring_rival or option.kvring_attention_rival or option.kvring_all):
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--kvring-... needs pytest-benchmark: pip install pytest-benchmark")
    # Where a user's own module is, as `python -m pytest` would have it.
    here = str(config.invocation_params.dir)
    if here not in sys.path:
        sys.path.insert(0, here)
    from .session import BenchSession

    try:
        session = BenchSession.from_options(option)
    except ValueError as error:
        raise pytest.UsageError(f"--kvring-rival: {error}") from None
    config.stash[SESSION] = session
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = [*(config.args if named else ()), str(Path(__file__).with_name("benchmarks.py"))]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The ratios of all cases that were timed."""
    session = config.stash.get(SESSION, None)
    if session is not None and session.lines:
        terminalreporter.section("kvring: contestants in turns, ratios within each round")
        for line in session.lines:
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write what was measured, and let go of the last case's contestants."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.close()
        if config.option.kvring_json:
            Path(config.option.kvring_json).write_text(json.dumps(session.records, indent=1))
