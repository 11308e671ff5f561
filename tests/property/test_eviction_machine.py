"""Eviction against the reference, step by step: all policies, pins, touches, weights, by hand.

`often` says how many runs of up to 40 steps there are. Weights are multiples of 1/16,
so that sums are exact in any order; tests/unit/test_weighing.py holds sums to their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvring import FIFO, LRU, Append, HeavyHitter, KVCache
from kvring.errors import KVRingError, PolicyError, ShapeError, StaleViewError
from kvring.reference import ReferenceCache
from tests.often import often
from tests.policies import Bookkeeper, Muddled, NewestFirst, Tova
from tests.property.apart import (
    assert_layers_same,
    assert_shows,
    names_apart,
    of_batch_row,
)
from tests.property.comparing import outcome, refuse
from tests.property.drawing import LAYERS, ORDERS, TOKENS
from tests.property.reloading import reloaded, restored
from tests.support import make_rows, poison

POLICIES = st.one_of(
    st.just(FIFO()),
    st.just(LRU()),
    st.builds(LRU, st.sampled_from([0.0625, 0.5, 1.0])),
    st.builds(HeavyHitter, st.integers(0, 4)),
    st.sampled_from([Bookkeeper, Tova, NewestFirst, Muddled]).map(lambda policy: policy()),
)
MODES = st.builds(
    lambda capacity, policy, sink_tokens: Append(capacity, policy, min(sink_tokens, capacity - 1)),
    st.integers(1, 8),
    POLICIES,
    st.integers(0, 2),
)
POSITIONS = st.lists(st.integers(-1, 14), max_size=4)


class EvictionMachine(RuleBasedStateMachine):
    """Every rule is carried out by the reference first, then by the cache."""

    @initialize(
        modes=st.lists(MODES, min_size=1, max_size=2),
        plain=st.booleans(),
        batch=st.integers(1, 3),
        layout=st.sampled_from(["BSHD", "BHSD"]),
        dtype=st.sampled_from(["float32", "float16", "int8", "complex64"]),
    )
    def build(self, modes: list[Append], plain: bool, **arguments: Any) -> None:
        modes = modes + [Append(30)] * plain
        self.cache: Any = KVCache(
            layers=len(modes), strategy=modes, kv_heads=2, head_dim=2, value_dim=1, **arguments
        )
        self.reference = ReferenceCache(self.cache.config)
        self.layers = range(len(modes))
        self.history = 0
        self.views: dict[int, Any] = {}
        self.shelved: list[tuple[Any, ReferenceCache]] = []

    @rule(layer=LAYERS, tokens=TOKENS, order=ORDERS)
    def update(self, layer: int, tokens: int, order: str) -> None:
        layer = min(layer, self.layers[-1])
        self.give(layer, min(tokens, self.cache.rings[layer].capacity + 1), order)

    @rule(order=ORDERS)
    def step(self, order: str) -> None:
        for layer in self.layers:
            self.give(layer, 1, order)

    @rule(
        layer=LAYERS,
        heads=st.integers(1, 2),
        seed=st.integers(0, 2**32 - 1),
        dtype=st.sampled_from(["float32", "float64", "float16"]),
        fresh=st.one_of(st.none(), ORDERS),
    )
    def observe(self, layer: int, heads: int, seed: int, dtype: str, fresh: str | None) -> None:
        layer = min(layer, self.layers[-1])
        if fresh or layer not in self.views:
            self.views[layer] = self.cache.read(layer, order=fresh or "temporal")
        view = self.views[layer]
        columns = [of_batch_row(view.positions, b, 1).tolist() for b in range(self.cache.batch)]
        queries = view.mask().shape[-2]
        shape = (self.cache.batch, 2 * heads, queries, view.row_count)
        weights = np.random.default_rng(seed).integers(0, 17, shape) / 16
        weights = weights.astype(dtype)
        self.both(
            lambda: self.reference.observe(layer, columns, weights.tolist()),
            lambda: self.cache.observe(view, weights),
        )

    @rule(layer=LAYERS, spoil=st.sampled_from(["NaN", "negative", "heads", "rows", "queries"]))
    def observe_nonsense(self, layer: int, spoil: str) -> None:
        layer = min(layer, self.layers[-1])
        view = self.cache.read(layer)
        shape = [self.cache.batch, 2, 1, view.row_count]
        if spoil in ("heads", "rows", "queries"):
            shape[{"heads": 1, "queries": 2, "rows": 3}[spoil]] += 1
        weights = np.full(shape, 0.5)
        error: type[KVRingError] = ShapeError
        if spoil in ("NaN", "negative"):
            weights[..., -1:] = np.nan if spoil == "NaN" else -0.5
            error = PolicyError
        if self.cache.config.layers[layer].strategy.eviction is None:
            error = PolicyError
        elif not weights.size:
            return
        with pytest.raises(error):
            self.cache.observe(view, weights)

    @rule(layer=LAYERS, which=POSITIONS, resident=st.booleans())
    def touch(self, layer: int, which: list[int], resident: bool) -> None:
        layer = min(layer, self.layers[-1])
        named = self.named(which, layer, resident)
        self.both(
            lambda: self.reference.touch(layer, named), lambda: self.cache.touch(layer, named)
        )

    @rule(verb=st.sampled_from(["pin", "unpin", "evict"]), which=POSITIONS, near=st.booleans())
    def pin_unpin_or_evict(self, verb: str, which: list[int], near: bool) -> None:
        named = self.named(which, 0, near)
        done = self.both(
            lambda: getattr(self.reference, verb)(named),
            lambda: getattr(self.cache, verb)(np.array(named) if named else ()),
        )
        if done and verb == "evict" and named:
            modes = [layer.strategy for layer in self.cache.config.layers]
            self.expire([n for n in self.layers if modes[n].eviction is not None])

    @rule(dropped=st.integers(-1, 4))
    def truncate(self, dropped: int) -> None:
        total = self.reference.seq_len - dropped
        if self.both(lambda: self.reference.truncate(total), lambda: self.cache.truncate(total)):
            self.expire(self.layers)

    @rule(total=st.integers(0, 3), reset=st.booleans())
    def truncate_near_the_start(self, total: int, reset: bool) -> None:
        if self.reference.seq_len < 10:
            return
        verb = (lambda of: of.reset()) if reset else (lambda of: of.truncate(total))
        if self.both(lambda: verb(self.reference), lambda: verb(self.cache)):
            self.expire(self.layers)

    @rule(go_on_with_copy=st.booleans())
    def copy(self, go_on_with_copy: bool) -> None:
        twins = self.cache.copy(), self.reference.copy()
        if go_on_with_copy:
            twins, (self.cache, self.reference) = (self.cache, self.reference), twins
            self.views = {}
        self.shelved = [*self.shelved, twins][-2:]

    @rule()
    def save_and_load(self) -> None:
        self.go_on_with(reloaded(self.cache))

    @rule()
    def spill_and_restore(self) -> None:
        self.go_on_with(restored(self.cache))

    def go_on_with(self, twin: Any) -> None:
        if twin is not None:
            self.shelved = [*self.shelved, (self.cache, self.reference.copy())][-2:]
            self.cache, self.views = twin, {}

    @invariant()
    def same(self) -> None:
        compare(self.cache, self.reference)
        for layer, view in self.views.items():
            view.positions  # noqa: B018  # still good
            assert view._ring is self.cache.rings[layer]

    def teardown(self) -> None:
        for cache, reference in getattr(self, "shelved", []):
            compare(cache, reference)

    # How the rules work

    def named(self, which: list[int], layer: int, resident: bool) -> list[int]:
        """Positions: those, or those that are resident in one batch row, counted from the end."""
        held = self.reference.positions(layer)
        if not resident or not held:
            return which
        return [held[number % len(held)] for number in which]

    def both(self, by_reference: Callable[[], Any], by_cache: Callable[[], Any]) -> bool:
        """Whether it was done; a refusal must be the same in both."""
        refused, _ = outcome(by_reference)
        if refused is not None:
            refuse(refused, by_cache)
            return False
        by_cache()
        return True

    def give(self, layer: int, tokens: int, order: str) -> None:
        self.history += 1
        config = self.cache.config
        keys, values = make_rows(config, layer, 0, tokens, history=self.history)
        names = names_apart(keys, values, config.layout)
        counts = [tokens] * config.batch
        refused, seen = outcome(lambda: self.reference.update(layer, names, token_counts=counts))
        if refused is not None:
            refuse(refused, lambda: self.cache.update(layer, keys, values, order=order))
            return
        view = self.cache.update(layer, keys, values, order=order)
        if tokens:
            self.expire([layer])
        if config.layers[layer].strategy.eviction is not None:
            assert_shows(view, seen, self.cache, layer)
            self.views[layer] = view

    def expire(self, layers: Any) -> None:
        """These layers have changed: their views are stale."""
        for layer in layers:
            view = self.views.pop(layer, None)
            if view is not None:
                for use in (lambda v: v.positions, tuple, lambda v: v.evicted, lambda v: v.mask()):
                    refused, _ = outcome(lambda use=use, view=view: use(view))
                    assert refused is StaleViewError


def compare(cache: Any, reference: ReferenceCache) -> None:
    cache.check()
    poison(cache)
    assert_layers_same(cache, reference)


TestEviction = EvictionMachine.TestCase
TestEviction.settings = settings(
    max_examples=often(100),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
