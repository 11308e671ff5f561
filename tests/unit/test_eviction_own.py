"""A policy of one's own: what it is told, what it is asked, and what comes of wrong answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kvring import Append, CapacityError, ConfigError, EvictionPolicy, PolicyError
from tests.by_hand import feed, make, rows, settle, shown
from tests.policies import Bookkeeper, NewestFirst, Tova
from tests.unit.eviction_policies import SharedBehaviour, left, observe


class TestTova(SharedBehaviour):
    policy = Tova()

    def test_who_got_least_from_the_newest_query_gives_way(self) -> None:
        cache = self.cache(3)
        observe(cache, feed(cache, 3), p0=0.5, p1=0.125, p2=0.375)
        observe(cache, feed(cache, 1), p0=0.125, p2=0.5, p3=0.375)
        assert feed(cache, 1).evicted.tolist() == [0]


class TestBookkeeper(SharedBehaviour):
    policy = Bookkeeper()

    def test_a_touched_row_stays(self) -> None:
        cache = self.cache(3)
        feed(cache, 3)
        cache.touch(0, [0])
        assert [feed(cache, 1).evicted.tolist() for _ in range(2)] == [[1], [2]]


def test_the_given_object_is_never_changed_and_rows_of_the_batch_have_one_each() -> None:
    policy = Bookkeeper()
    cache = make(Append(2, eviction=policy), layers=2, batch=2)
    for layer in range(2):
        cache.update(layer, *rows(0, 2, batch=2))
        cache.update(layer, *rows(2, 3, batch=2))
    cache.check()
    assert policy.touches == {}
    assert cache.positions(1).tolist() == [1, 2]


class Answering(EvictionPolicy):
    """Says what it was made to say."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def victims(self, candidates: Any, count: int) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "expected 1 of the candidates, got 0"),
        ([3, 4], "got 2"),
        ([3, 3], "got 2, one of them twice"),
        ([0], r"\[0\] are pinned, sinks or not resident"),
        ([2], r"\[2\] are pinned"),
        ([9], r"\[9\] are pinned"),
        ([-1], r"\[-1\] are pinned"),
        ([10**30], "are pinned, sinks or not resident"),
        (None, "expected 1 positions, got None"),
        ([1.0], "expected 1 positions"),
    ],
)
def test_a_wrong_answer_is_a_policy_error_and_changes_nothing(answer: Any, message: str) -> None:
    cache = make(Append(5, eviction=Answering(answer), sink_tokens=1))
    view = feed(cache, 5)
    cache.pin([2])
    for tokens in (1, 1):
        with pytest.raises(PolicyError, match=message):
            cache.update(0, *rows(5, 5 + tokens))
        settle(cache)
    assert shown(view) == [0, 1, 2, 3, 4]
    assert (cache.seq_len, cache.stats.rows_evicted) == (5, 0)


class Broken(NewestFirst):
    """Raises when it is told of position 2, as often as it is."""

    def written(self, positions: list[int]) -> None:
        if 2 in positions:
            raise RuntimeError("I never liked 2")


def test_an_error_of_the_policy_comes_up_in_a_call_that_has_not_begun() -> None:
    cache = make(Append(4, eviction=Broken()))
    feed_unchecked = [cache.update(0, *rows(p, p + 1)) for p in range(3)]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="never liked 2"):
            cache.update(0, *rows(3, 4))
        assert shown(feed_unchecked[-1]) == [0, 1, 2]
    cache.reset()
    assert shown(feed(cache, 2)) == [0, 1]


class AsksOnly:
    """Chooses, and can be told of nothing."""

    def victims(self, candidates: Any, count: int) -> Any:
        return np.asarray(candidates)[-count:]


def test_a_derived_policy_needs_no_method_for_what_does_not_matter_to_it() -> None:
    class Derived(AsksOnly, EvictionPolicy):
        pass

    cache = make(Append(3, eviction=Derived()))
    observe(cache, feed(cache, 3), p1=1)
    cache.touch(0, [2])
    feed(cache, 1)
    assert left(cache) == [0, 1, 3]


def test_a_duck_of_a_policy_will_do_and_half_a_duck_is_named() -> None:
    class Duck:
        written = touched = observed = dropped = lambda self, *told: None

        def victims(self, candidates: Any, count: int) -> Any:
            return np.asarray(candidates)[-count:]

    cache = make(Append(3, eviction=Duck()))  # type: ignore[arg-type]
    feed(cache, 3)
    feed(cache, 1)
    assert left(cache) == [0, 1, 3]
    with pytest.raises(ConfigError, match="without written, touched, observed, dropped, victims"):
        Append(3, eviction="lru")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="derived from EvictionPolicy or with all of its methods"):
        Append(3, eviction=AsksOnly())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"got a class; use Tova\(\)"):
        Append(3, eviction=Tova)  # type: ignore[arg-type]


def test_a_policy_that_cannot_be_copied_or_hashed_is_refused() -> None:
    class Stuck(NewestFirst):
        def __deepcopy__(self, memo: object) -> Any:
            raise RuntimeError("no")

    class Equal(NewestFirst):
        def __eq__(self, other: object) -> bool:
            return True

    with pytest.raises(ConfigError, match=r"that copy\.deepcopy can copy"):
        make(Append(3, eviction=Stuck()))
    with pytest.raises(ConfigError, match="eviction: expected something hashable"):
        Append(3, eviction=Equal())


def test_the_way_out_that_is_told_for_an_unhashable_policy_leads_out() -> None:
    def policy(**options: bool) -> Any:
        return dataclass(**options)(type("Newest", (NewestFirst,), {}))()

    with pytest.raises(ConfigError, match="a dataclass needs eq=False or frozen=True"):
        Append(3, eviction=policy())
    for options in ({"eq": False}, {"frozen": True}):
        cache = make(Append(3, eviction=policy(**options)))
        feed(cache, 3)
        feed(cache, 1)
        assert left(cache) == [0, 1, 3]


def test_a_chunk_beyond_capacity_is_a_capacity_error_whatever_the_policy_would_say() -> None:
    cache = make(Append(2, eviction=Answering([])))
    feed(cache, 2)
    with pytest.raises(CapacityError):
        cache.update(0, *rows(2, 5))
    settle(cache)
