"""The vectors, run: on kvring's own cache, and by a runner written from their README alone."""

import json
import subprocess
import sys

import pytest

from kvring.testing import Rows, Supports, UnsupportedError
from kvring.testing.backends import kvring_cache
from kvring.testing.probe import declared_by, offered
from kvring.testing.vectors import FOLDER, TOPICS, run, vectors, why_not
from tests.conformance.plain_cache import PlainCache, outcome
from tests.conformance.small import Everything, SeesOneTooMany
from tests.support import ROOT

BACKENDS = [kvring_cache.temporal, kvring_cache.physical]
# Everything a vector may ask for besides what the backend declares itself.
ALL = {"head_dims": (8, 16), "most_layers": 3}


def results(factory, topic=None, **more):
    declared = declared_by(factory, {**factory.supports, **more})
    return run(factory, offered(factory, declared), topic)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("factory", BACKENDS, ids=lambda factory: factory.__name__)
def test_our_own_cache_shows_what_the_vectors_say(factory, topic):
    for result in results(factory, topic, **ALL):
        vector = result.vector
        assert result.finding is None, f"{vector.id} ({vector.comment}): {result.finding}"


@pytest.mark.parametrize("factory", BACKENDS, ids=lambda factory: factory.__name__)
def test_nothing_is_skipped_but_what_our_own_cache_declares_to_lack(factory):
    lacking = factory.supports.get("without", {})
    reasons = {f"no {operation}: {why}" for operation, why in lacking.items()}
    assert {result.skipped for result in results(factory, **ALL)} <= {"", *reasons}


def test_layouts_dtypes_and_widths_are_the_backends_own():
    ours = {"dtypes": ("float16",), "layouts": ("BHSD",), "head_dims": (16,)}
    usual = results(kvring_cache.temporal, "circular", **ours)
    assert usual
    for result in usual:
        setup = result.vector.trace.setup
        assert (setup.dtype, setup.layout, setup.head_dim) == ("float16", "BHSD", 16)
        assert (result.finding, result.skipped) == (None, "")
    special = {result.skipped for result in results(kvring_cache.temporal, "axes", **ours)}
    assert special >= {"", "dtype int8", "dtype float64", "head_dim 8"}


@pytest.mark.parametrize(
    ("number", "declared", "reason"),
    [
        (1001, {"modes": ("circular",)}, "no append mode"),
        (2001, {"windows": (2, 6)}, "window outside 2 .. 6"),
        (3001, {"most_sink_tokens": 0}, "sink_tokens above 0"),
        (5001, {"most_rollback_tokens": 1}, "rollback_tokens above 1"),
        (4001, {"most_chunk": 4}, "updates of more than 4 tokens"),
        (8001, {"most_batch": 2}, "batch above 2"),
        (8001, {"most_kv_heads": 1}, "kv_heads above 1"),
        (9001, {"ragged": ("left",)}, "no padding on the right"),
        (9002, {"ragged": ("right",)}, "no padding on the left"),
        (9001, {"without": {"ragged": "not yet"}}, "no ragged: not yet"),
        (10001, {"without": {"reorder": "no beams"}}, "no reorder: no beams"),
        (11001, {"most_layers": 1}, "layers above 1"),
        (12001, {"without": {"wrong_shapes": "unchecked"}}, "no wrong_shapes: unchecked"),
        (13001, {"without": {"seq_len_form": "no"}}, "no seq_len_form: no"),
        (1004, {"observes": "outputs"}, "more than 6 tokens"),
    ],
)
def test_what_a_declaration_lacks_is_why_a_vector_is_skipped(number, declared, reason):
    vector = next(vector for vector in vectors() if vector.id == number)
    assert why_not(vector, Supports()) == ""
    assert why_not(vector, Supports(**declared)) == reason


def reasons_of(topic, **declared):
    return {why_not(vector, Supports(**declared)) for vector in vectors(topic)}


def test_what_depends_on_where_layers_and_batch_rows_stand_is_a_reason_too():
    assert "layers of different strategies" in reasons_of("layers")
    assert "layers of different strategies" not in reasons_of("layers", mixed_layers=True)
    assert "batch rows of different lengths" in reasons_of("surgery", ragged=())
    assert "a model updates all layers, with new tokens alone" in reasons_of(
        "layers", observes="logits"
    )
    assert "a clamped truncate where layers differ" in reasons_of("layers", too_many="clamped")


def test_a_right_cache_is_clean_and_a_wrong_one_is_not():
    assert not [result for result in results(Everything) if result.finding]
    failed = [result.vector for result in results(SeesOneTooMany) if result.finding]
    assert "WindowOffByOne" in {flag for vector in failed for flag in vector.flags}


def test_a_backend_that_cannot_be_made_is_a_finding_or_a_reason():
    class Never:
        def __init__(self, setup):
            raise RuntimeError("no device")

    class NotThis:
        def __init__(self, setup):
            raise UnsupportedError("no such window")

    class NoReset(Everything):
        reset = None

    assert run(Never, Supports(), "append")[0].finding.message.endswith("RuntimeError: no device")
    assert run(NotThis, Supports(), "append")[0].skipped == "the backend says: no such window"
    supports = Supports.of(NoReset.supports)
    assert "the backend has no reset" in {
        result.skipped for result in run(NoReset, supports, "circular")
    }


def test_a_topic_that_does_not_exist_is_refused_by_name():
    with pytest.raises(ValueError, match="topic: expected one of append, circular"):
        vectors("nonsense")


def test_rows_without_their_values_are_found():
    class Swapped(Everything):
        def update(self, layer, keys, values):
            seen = super().update(layer, keys, values)
            return Rows(seen.keys, seen.values[:, ::-1], seen.mask)

    assert [result for result in results(Swapped) if result.finding]


# Not of eviction: the plain cache knows no policies.
@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "eviction"])
def test_a_cache_and_a_runner_written_from_the_readme_agree_with_every_vector(topic):
    for group in json.loads((FOLDER / f"{topic}.json").read_text())["groups"]:
        evicts = any("eviction" in mode for mode in group["config"]["strategies"])
        for test in [] if evicts else group["tests"]:
            cache = PlainCache(group["config"])
            for step in test["steps"]:
                cache, found = outcome(step, cache, group["config"])
                assert found == step["expect"], (test["id"], step)


def test_neither_numba_nor_the_cache_is_loaded_to_recompute_them():
    code = (
        "import sys; from kvring.testing.vectors.__main__ import main; code = main([]);"
        "loaded = {'numba', 'kvring.cache', 'kvring._jit'} & set(sys.modules);"
        "assert not loaded, loaded; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


def test_a_vector_carries_what_stands_in_its_file():
    data = json.loads((FOLDER / "rollback.json").read_text())
    test, vector = data["groups"][0]["tests"][0], vectors("rollback")[0]
    assert [step.get("given") for step in test["steps"]] == list(vector.given)
    assert [step["expect"] for step in test["steps"]] == list(vector.expect)
