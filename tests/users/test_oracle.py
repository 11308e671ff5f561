"""The oracle, by its adapter for transformers, finds nothing in RingCache."""

import pytest

from kvring.testing.probe import declared_by, offered
from kvring.testing.search import search
from kvring.testing.vectors import run
from tests.often import often
from tests.users import ring_backend

EXAMPLES = often(150, at_least=60)
WAYS = ["with_sdpa", "with_another_attention", "with_kvring"]


@pytest.mark.parametrize("way", WAYS)
def test_no_history_shows_a_query_what_it_should_not_see(way):
    outcome = search(getattr(ring_backend, way), seed=5, max_examples=EXAMPLES)
    assert outcome.divergence is None, str(outcome.divergence)
    assert outcome.compared
    assert outcome.histories >= EXAMPLES * 2 // 3
    for operation in ("truncate", "reset", "copy", "reorder", "select", "repeat"):
        assert outcome.supports.has(operation)


@pytest.mark.parametrize("way", WAYS)
def test_the_portable_vectors_hold(way):
    factory = getattr(ring_backend, way)
    results = run(factory, offered(factory, declared_by(factory, None)))
    for result in results:
        assert result.finding is None, (result.vector.id, result.vector.comment, result.finding)
    assert sum(not result.skipped for result in results) > 40
