"""The oracle's own judgement of kvring, each operation carried out by another thread."""

import pytest

from kvring.testing.backends import kvring_cache
from kvring.testing.search import search
from tests.often import often
from tests.threads.people import Person
from tests.threads.sizes import either


class FromOtherThreads:
    """A backend whose every method runs in a thread that is started for it alone."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, name):
        method = getattr(self.backend, name)

        def call(*arguments, **options):
            result = Person(lambda: method(*arguments, **options)).outcome()
            return FromOtherThreads(result) if isinstance(result, type(self.backend)) else result

        return call if callable(method) else method


@pytest.mark.parametrize("make", [kvring_cache.temporal, kvring_cache.physical])
def test_the_oracle_finds_nothing_when_each_operation_comes_from_another_thread(make):
    def backend(setup):
        return FromOtherThreads(Person(lambda: make(setup)).outcome())

    outcome = search(
        backend, supports=make.supports, max_examples=often(either(15, 200), at_least=15)
    )
    assert outcome.divergence is None, str(outcome.divergence)
    assert outcome.compared
