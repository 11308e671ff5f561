"""Right caches of every style, each with its own declaration: the oracle never reports one."""

import pytest

from kvring.testing.probe import declared_by, offered
from kvring.testing.search import search
from kvring.testing.vectors import run
from tests.conformance.rings.catalogue import RIGHT, kind
from tests.conformance.rings.slot_order import SlotRing
from tests.often import often

EXAMPLES = often(80, at_least=30)

all_right = pytest.mark.parametrize("ring", RIGHT, ids=[ring.__name__ for ring in RIGHT])


@all_right
def test_a_right_ring_passes_the_search(ring):
    outcome = search(ring, seed=1, max_examples=EXAMPLES)
    assert outcome.divergence is None, str(outcome.divergence)
    assert outcome.histories >= EXAMPLES // 2
    assert not outcome.skipped


@all_right
def test_a_right_ring_passes_the_vectors(ring):
    results = run(ring, offered(ring, declared_by(ring, None)))
    for result in results:
        assert result.finding is None, (result.vector.id, result.vector.comment, result.finding)
    assert not all(result.skipped for result in results)


def test_every_kind_of_observation_has_a_right_ring():
    assert {kind(ring) for ring in RIGHT} == {"rows", "slots", "outputs", "logits"}


def test_every_operation_is_offered_by_some_right_ring():
    lacking = [set(offered(ring, ring.supports).without) for ring in RIGHT]
    assert not set.intersection(*lacking)


@pytest.mark.parametrize(
    "ring", [ring for ring in RIGHT if ring.supports.eviction != "exact"], ids=lambda r: r.__name__
)
def test_what_is_not_exact_needs_its_declaration(ring):
    """Else the declaration would be idle, and the ring no test of it."""
    exact = {"modes": ("circular",), "most_sink_tokens": 0, "most_rollback_tokens": 0}
    outcome = search(ring, supports={**exact, "truncate": "at_least"}, max_examples=300)
    assert outcome.divergence.finding.invariant == "stale"


def test_other_seeds_find_nothing_either():
    for seed in range(2, 4 + often(1)):
        divergence = search(SlotRing, seed=seed, max_examples=EXAMPLES).divergence
        assert divergence is None, str(divergence)
