"""Every rival in every case, tiny and untimed: it shows the right rows, or is left out."""

import numpy as np
import pytest

from kvring.bench import UnsupportedError, operations
from kvring.bench.attention import expected, given_rows
from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.catalogue import cases
from kvring.bench.group import build
from kvring.bench.rival import load
from kvring.bench.rivals import ATTENTION, CACHES, OURS

from .tiny import APPEND, ATTENTION_CASES, CACHE_CASES, PROCESS_CASES, WINDOW

# What foreign libraries warn of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")


def run_untimed(case, name, factory):
    group = build(case, {name: factory})
    try:
        assert not group.failed
        if group.skipped:
            pytest.skip(group.skipped[name])
        contestant = group.contestants[name]
        # A process has been run to find out whether it can, and would only be run again.
        for _ in range(0 if group.in_processes else 3):
            contestant.prepare()
            contestant.run()
        return group
    finally:
        group.close()


@pytest.mark.parametrize("name", CACHES)
@pytest.mark.parametrize("case", CACHE_CASES, ids=lambda case: case.title)
def test_a_cache_shows_the_rows_that_it_was_given(case, name):
    run_untimed(case, name, CACHES[name])


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("case", ATTENTION_CASES, ids=lambda case: case.title)
def test_attention_is_what_float64_says(case, name):
    run_untimed(case, name, ATTENTION[name])


@pytest.mark.parametrize("name", [OURS, "np.concatenate"])
@pytest.mark.parametrize("case", PROCESS_CASES, ids=lambda case: case.title)
def test_a_process_of_its_own_measures_memory_and_first_use(case, name):
    group = run_untimed(case, name, CACHES[name])
    assert group.value(name) > 0
    assert group.ratio(name) == (1 if name == OURS else None)


class Forgets:
    """Keeps no row but the last."""

    def __init__(self, setup):
        self.pair = None

    def update(self, layer, keys, values):
        self.pair = keys[:, -1:], values[:, -1:]
        return self.pair

    def read(self, layer):
        return self.pair


class Swaps(load(CACHES["np.concatenate"])):
    """Returns keys and values in the wrong order."""

    def update(self, layer, keys, values):
        return super().update(layer, keys, values)[::-1]


class MixesHeads(load(CACHES["np.concatenate"])):
    """Every head shows the rows of the first."""

    def update(self, layer, keys, values):
        both = super().update(layer, keys, values)
        return tuple(np.repeat(rows[:, :, :1], rows.shape[2], axis=2) for rows in both)


class Silent(load(CACHES["bare slices"])):
    """Returns nothing from update: what it reads is checked."""

    def update(self, layer, keys, values):
        super().update(layer, keys, values)


class Broken:
    """Cannot be built."""

    def __init__(self, setup):
        raise RuntimeError("no such device")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(Forgets, "tokens 0 .. 40 once each"), (Swaps, "not so: 0, 1"), (MixesHeads, "every head")],
)
def test_a_cache_that_shows_wrong_rows_is_not_timed(wrong, message):
    group = build(CACHE_CASES[0], {"wrong": f"{__name__}:{wrong.__name__}"})
    assert not group.contestants
    assert message in group.failed["wrong"]


def test_what_a_stranger_raises_concerns_the_stranger_alone():
    rivals = {OURS: CACHES[OURS], "broken": f"{__name__}:Broken", "silent": f"{__name__}:Silent"}
    group = build(CACHE_CASES[0], rivals)
    assert group.failed == {"broken": "RuntimeError: no such device"}
    group.measure(seconds=0.01, rounds=3)
    assert group.ratio(OURS) == 1
    assert group.ratio("silent") > 0
    assert group.value("broken") is group.ratio("broken") is None


def test_a_chunk_notes_whose_early_queries_are_robbed():
    chunk = next(case for case in CACHE_CASES if case.operation == "chunk")
    names = (OURS, "np.roll", "np.concatenate")
    group = build(chunk, {name: CACHES[name] for name in names})
    assert group.notes[OURS] == group.notes["np.concatenate"] == []
    assert group.notes["np.roll"] == ["its early queries lack 3 of 19 rows"]


def test_a_cache_without_truncate_is_left_out_of_that_case():
    with pytest.raises(UnsupportedError, match="cannot truncate"):
        operations.truncate(Forgets, APPEND, 0)
    with pytest.raises(UnsupportedError, match="keeps a window only"):
        load(CACHES["HF dynamic sliding"])(APPEND)
    with pytest.raises(UnsupportedError, match="keeps every row"):
        load(CACHES["HF DynamicCache"])(WINDOW)


class HalfRight(load(ATTENTION["NumPy, matmul per KV head"])):
    """Forgets to scale."""

    def attend(self):
        return super().attend() / 2


def test_attention_that_is_wrong_is_not_timed():
    group = build(ATTENTION_CASES[0], {"wrong": f"{__name__}:HalfRight"})
    if group.skipped:
        pytest.skip(group.skipped["wrong"])
    assert "expected attention to within" in group.failed["wrong"]
    group.close()


def test_the_expected_attention_is_the_plain_formula():
    setup = AttentionSetup(2, 4, 8, "float32", 5)
    keys, values, query = given_rows(setup)
    wanted, _ = expected(setup, keys, values, query)
    for head in range(4):
        scores = keys[0, :, head // 2].astype(float) @ query[0, 0, head] * 8**-0.5
        weights = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(wanted[head], weights @ values[0, :, head // 2], rtol=1e-12)


def test_the_short_run_is_part_of_the_long_one_and_titles_are_unique():
    every, quick = cases(), cases(quick=True)
    assert 3 < len(quick) < len(every)
    assert {case.title for case in quick} < {case.title for case in every}
    assert len({case.title for case in every}) == len(every)
    assert {case.operation for case in every} == {
        *("update", "chunk", "prefill", "read", "truncate", "attention", "memory", "first use"),
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "expected package.module:factory"),
        ("no.such.module:Cache", "no module"),
        ("kvring.bench.rival:nothing", "nothing callable named 'nothing'"),
    ],
)
def test_a_wrong_name_of_a_factory_says_what_is_wrong(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)
