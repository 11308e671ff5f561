"""The oracle as a pytest class: subclass it, say what your cache is, and run pytest.

from kvring.testing import Conformance

class TestMyCache(Conformance):
    supports = {"modes": ("circular",), "row_order": "slots"}

    def make(self, config):
        return MyAdapter(config.window, config.layers)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from ..text import printable
from .probe import declared_by, offered
from .search import check_judged, search
from .setup import Setup
from .supports import Supports
from .vectors import TOPICS, run

__all__ = ["Conformance"]


class Conformance:
    """Tests of one backend; a failure's message is the report.

    Attributes
    ----------
    supports : mapping or Supports
        What the backend declares (`kvring.testing.Supports`).
    seed, max_examples : int
        Of the search.
    """

    supports: ClassVar[Mapping[str, Any] | Supports] = {}
    seed: ClassVar[int] = 0
    max_examples: ClassVar[int] = 300

    def make(self, config: Setup) -> Any:
        """The backend to judge, fresh, for this configuration."""
        raise NotImplementedError("make(config) must return an adapter of your cache")

    def test_no_history_shows_a_query_what_it_should_not_see(self) -> None:
        """Search for the shortest history that proves the backend wrong."""
        outcome = search(
            self.make, supports=self.supports, seed=self.seed, max_examples=self.max_examples
        )
        if outcome.divergence is not None:
            pytest.fail(str(outcome.divergence), pytrace=False)
        check_judged(outcome.compared, outcome.skipped)

    @pytest.mark.parametrize("topic", TOPICS)
    def test_the_portable_vectors_hold(self, topic: str) -> None:
        """All vectors of a topic that the backend has the operations for."""
        declared = offered(self.make, declared_by(self.make, self.supports))
        results = run(self.make, declared, topic)
        failed = [result for result in results if result.finding is not None]
        for result in failed:
            vector, finding = result.vector, result.finding
            assert finding is not None
            message = f"vector {vector.id} ({vector.comment}): {finding.message}"
            pytest.fail(printable(message), pytrace=False)
        if all(result.skipped for result in results):
            why = sorted({result.skipped for result in results})
            pytest.skip(f"{topic}: {'; '.join(why)}")
