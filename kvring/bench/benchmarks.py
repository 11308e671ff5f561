"""The cases as pytest sees them. Collected by the plugin, through no pattern of file names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .plugin import SESSION

ROUNDS = 5
# What takes longer is run once more only.
SLOW_SECONDS = 0.05


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each rival in each case."""
    pairs = metafunc.config.stash[SESSION].pairs()
    ids = [re.sub(r"[^\w.]+", "-", f"{case.title}-{name}") for case, name in pairs]
    metafunc.parametrize(("case", "rival"), pairs, ids=ids)


@pytest.mark.filterwarnings("default")
def test_beside_kvring(
    case: Any, rival: str, benchmark: Any, request: pytest.FixtureRequest
) -> None:
    """Right rows first, then time: pytest-benchmark's own rounds, and ratios from turns."""
    group = request.config.stash[SESSION].group(case, timed=benchmark.enabled)
    if rival in group.skipped:
        pytest.skip(group.skipped[rival])
    if rival in group.failed:
        pytest.fail(group.failed[rival], pytrace=False)
    benchmark.group = case.title
    contestant = group.contestants[rival]
    benchmark.extra_info.update(
        operation=case.operation,
        shape=case.shape,
        rival=rival,
        value=group.value(rival),
        ratio=group.ratio(rival),
        rounds=len(group.result.seconds[rival]) if group.result else 1,
        notes=group.notes[rival],
    )
    slow = group.in_processes or (group.value(rival) or 0) > SLOW_SECONDS
    run, rounds = contestant.run, 1 if slow else ROUNDS
    if contestant.steps > 1:
        benchmark.pedantic(run, iterations=contestant.steps, rounds=rounds)
    else:
        benchmark.pedantic(run, setup=contestant.prepare, rounds=rounds)
