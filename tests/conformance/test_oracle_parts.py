"""The oracle's own parts: setups and steps as data, declarations, names, pictures, shortening."""

import json

import numpy as np
import pytest

from kvring.config import Append, Circular, Replace
from kvring.errors import ConfigError
from kvring.testing import Rows, Setup, Supports, find_divergence
from kvring.testing.divergence import replay
from kvring.testing.finding import INVARIANTS, Finding
from kvring.testing.names import SPOILS, bits, named_rows, spell, spoiled, tokens_in
from kvring.testing.picture import ring_picture
from kvring.testing.search import search
from kvring.testing.shorten import shortened
from kvring.testing.steps import (
    AddBatchRows,
    Copy,
    Read,
    Reorder,
    Repeat,
    Reset,
    Save,
    Select,
    Trace,
    Truncate,
    Update,
    step_from_json,
    step_to_json,
)
from kvring.testing.truth import Truth
from tests.conformance.small import SUPPORTS, Everything, ForgetsToReset

STEPS = [
    Update(3),
    Update(2, layer=1, token_counts=(1, 2), padding="left", zero_keys=True),
    Update(1, seq_len=4, history=True),
    Update(1, spoiled=SPOILS[0]),
    Read(0),
    Truncate(3),
    Truncate((1, 2)),
    Reset(),
    Copy(original=True),
    Save(),
    Reorder((1, 0)),
    Select((1,)),
    Repeat(2),
    AddBatchRows(1, 3),
]


def test_a_trace_survives_json():
    setup = Setup((Circular(4, 1, 2), Append(7), Replace(3)), batch=2, dtype="float16")
    trace = Trace(setup, tuple(STEPS))
    assert Trace.from_json(json.loads(json.dumps(trace.to_json()))) == trace


def test_what_has_its_default_is_left_out_of_json():
    assert step_to_json(Update(3)) == {"op": "update", "tokens": 3}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"op": "shuffle"}, "op: expected one of update, read"),
        ({"tokens": 3}, "op: expected one of"),
        ({"op": "update", "count": 3}, "update: .*count"),
        ({"op": "truncate"}, "truncate: .*seq_len"),
    ],
)
def test_a_step_that_does_not_exist_is_refused_by_name(data, words):
    with pytest.raises(ConfigError, match=words):
        step_from_json(data)


def test_a_mode_that_does_not_exist_is_refused_by_name():
    with pytest.raises(ConfigError, match="mode: expected one of append, circular, replace"):
        Setup.from_json({"strategies": [{"mode": "paged", "capacity": 3}]})


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"colour": "red"}, "no such thing as 'colour'"),
        ({"row_order": "any"}, "row_order: expected 'temporal' or 'slots', got 'any'"),
        ({"modes": ["paged"]}, "modes: expected some of append, circular, replace, got 'paged'"),
        ({"without": {"fly": "no wings"}}, "without: expected some of"),
        ({"most_batch": 0}, "most_batch: expected an integer from 1 to 3, got 0"),
        ({"most_batch": 9}, "most_batch: expected an integer from 1 to 3, got 9"),
        ({"most_layers": True}, "most_layers: expected an integer from 1 to 3, got True"),
        ({"most_sink_tokens": -1}, "most_sink_tokens: expected an integer >= 0, got -1"),
        ({"most_chunk": 0}, "most_chunk: expected an integer >= 1, got 0"),
        ({"most_chunk": -3}, "most_chunk: expected an integer >= 1, got -3"),
        ({"head_dims": [4]}, "head_dims: expected an integer >= 8, got 4"),
        ({"head_dims": [8.0]}, "head_dims: expected a list or tuple of integers"),
        ({"mixed_layers": "no"}, "mixed_layers: expected True or False, got 'no'"),
        ({"tolerance": "x"}, "tolerance: expected a number >= 0, got 'x'"),
        ({"tolerance": float("nan")}, "tolerance: expected a number >= 0, got nan"),
        ({"without": ["truncate"]}, "without: expected a mapping such as"),
        ({"without": {"truncate": None}}, "without: expected a reason for truncate in words"),
        ({"modes": None}, "modes: expected a list or tuple of strings, got None"),
        ({"modes": "circular"}, "modes: expected a list or tuple of strings, got 'circular'"),
        ({"modes": [["circular"]]}, "modes: expected a list or tuple of strings"),
        ({"windows": (3, 2)}, "windows: expected"),
        ({"windows": (3,)}, "windows: expected"),
        ({"dtypes": ()}, "at least one"),
        ("everything", "supports: expected a mapping"),
    ],
)
def test_a_declaration_of_what_does_not_exist_says_what_does(declared, words):
    with pytest.raises(ConfigError, match=words):
        Supports.of(declared)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float16", "float32", "float64"])
def test_a_row_says_whose_it_is_in_every_dtype(dtype):
    tokens = [[(75, 0), (511, 0)], [(1, 1), (448, 1)]]
    for kind, letter in ((1, "K"), (2, "V")):
        rows = named_rows(
            tokens, layer=1, kv_heads=2, width=16, dtype=dtype, kind=kind, special=True
        )
        assert rows.shape == (2, 2, 2, 16)
        assert rows.dtype == dtype
        assert spell(rows[0, 0, 1]) == f"{letter} of token 75 (batch row 0, layer 1, head 1)"
    tags, origins = tokens_in(rows)
    assert tags.tolist() == [[75, 511], [1, 448]]
    assert origins.tolist() == [[0, 0], [1, 1]]


def test_keys_of_the_last_tags_are_zero_and_their_values_are_not():
    keys, values = (
        named_rows(
            [[(448, 0)]], layer=0, kv_heads=1, width=8, dtype="float32", kind=k, special=True
        )
        for k in (1, 2)
    )
    assert not bits(keys).any()
    assert spell(keys[0, 0, 0]) == "a row of zeros"
    assert spell(values[0, 0, 0]).startswith("V of token 448")


def test_rows_that_were_never_given_are_told_apart():
    assert spell(np.full(8, np.nan)) == "a row of NaN or infinities"
    assert spell(np.full(8, 0.5)).startswith("a row that was never given")
    tags, _ = tokens_in(np.array([[np.full(8, np.nan)], [np.zeros(8)], [np.full(8, 2.5)]]))
    assert tags.tolist() == [-1, -1, -1]


def test_minus_zero_and_nan_payloads_are_not_the_same_bits():
    assert (bits(np.array([0.0])) != bits(np.array([-0.0]))).all()


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("what", SPOILS)
def test_spoiled_arrays_do_not_fit(what, layout):
    keys, values = np.zeros((1, 2, 3, 8)), np.zeros((1, 2, 3, 8))
    shapes = [array.shape for array in spoiled(what, keys, values, layout)]
    assert shapes != [keys.shape, values.shape]


def test_the_ring_is_drawn_as_the_worked_example_has_it():
    lines = ring_picture(
        Circular(4, 1, 2), (0, 6, 7, 8, 9, 10, 11), {0, 8, 9, 10, 11}, {0, 5, 8, 9, 10, 11}
    )
    assert [line.split() for line in lines] == [
        ["sink", "ring"],
        ["slot", "0", "|", "1", "2", "3", "4", "5", "6"],
        ["position", "0", "|", "7", "8", "9", "10", "11", "6", "no", "slot:", "5"],
        ["expected", "*", "|", "*", "*", "*", "*"],
        ["got", "*", "|", "*", "*", "*", "*", "*"],
    ]


def test_a_trace_is_shortened_to_what_the_failure_needs():
    setup = Setup((Circular(2),))
    trace = Trace(setup, (Update(2), Reset(), Update(4), Copy(), Update(1)))
    finding = Finding("stale", "for the test")

    def judge(shorter):
        tokens = sum(step.tokens for step in shorter.steps if isinstance(step, Update))
        return finding if tokens >= 3 and Reset() in shorter.steps else None

    short, _ = shortened(trace, finding, judge)
    assert sum(step.tokens for step in short.steps if isinstance(step, Update)) == 3
    assert len(short.steps) == 2


def test_a_declaration_widens_what_may_be_seen_and_not_what_must():
    def seen(**declared):
        truth = Truth(Setup((Circular(2, 1),)), Supports(**declared))
        step = Update(4)
        return truth.update(0, truth.new_tokens(step), step)[0][3]

    def positions(entries):
        return sorted(position for position, _ in entries)

    assert positions(seen().must) == [0, 2, 3]
    assert positions(seen().may) == []
    assert positions(seen(eviction="blocks", block_tokens=2).may) == [1]
    assert positions(seen(long_prompt="sees_all").may) == [1]
    assert positions(seen(long_prompt="misses_sinks").must) == [2, 3]
    assert positions(seen(window_counts_self=False).must) == [0, 1, 2, 3]
    assert positions(seen(eviction="lazy").must) == [0, 2, 3]
    assert positions(seen(eviction="lazy").may) == [1]


def test_what_one_layer_does_wrong_is_a_broken_relation():
    divergence = search(ForgetsToReset, max_examples=200).divergence
    assert divergence.finding.layer == 1
    assert "layers agree" in divergence.relations
    assert set(divergence.relations) <= set(INVARIANTS)


def test_a_token_of_another_batch_row_is_called_that_in_the_report():
    class Swaps(Everything):
        def update(self, layer, keys, values):
            seen = super().update(layer, keys, values)
            return Rows(seen.keys[::-1], seen.values[::-1], seen.mask)

    divergence = find_divergence(Swaps, supports=SUPPORTS, max_examples=60)
    assert divergence.finding.invariant == "batch row"
    assert divergence.finding.got == ("batch row 1: token 1001",)


def test_a_step_that_is_rightly_refused_is_marked_in_the_list_of_steps():
    steps = (Update(1), Truncate(2), Truncate(0))
    trial = replay(Everything, Trace(Setup((Circular(4),)), steps), Supports.of(SUPPORTS))[1]
    assert trial.notes == [
        "update with 1 token (1)",
        "truncate to 2, from 1, which is refused",
        "truncate to 0, from 1",
    ]


def test_a_finding_that_does_not_happen_every_time_is_reported_all_the_same():
    made = []

    class Moody(Everything):
        def update(self, layer, keys, values):
            made.append(0)
            seen = super().update(layer, keys, values)
            return Rows(seen.keys * (len(made) % 7 > 0), seen.values, seen.mask)

    assert find_divergence(Moody, supports=SUPPORTS, max_examples=50) is not None


def test_what_comes_back_may_be_anything_and_is_a_finding():
    for nonsense in (None, 7, Rows(None, None), Rows("keys", "values"), Rows([1], [2])):

        class Nonsense(Everything):
            def update(self, layer, keys, values, nonsense=nonsense):
                return nonsense

        found = find_divergence(Nonsense, max_examples=20)
        assert found.finding.invariant == "shape", found.finding
