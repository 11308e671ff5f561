"""Batch rows that go apart, against the reference, step by step: all modes, policies, targets.

`often` says how many runs of up to 40 steps there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvring import KVCache
from kvring.config import Mode, Replace
from kvring.errors import StaleViewError
from kvring.reference import ReferenceCache
from tests.often import often
from tests.property.apart import names_apart
from tests.property.comparing import outcome, refuse
from tests.property.drawing import DTYPES, LAYERS, ORDERS, TOKENS, modes, most_tokens
from tests.property.ragged import assert_ragged_state, assert_shows_ragged
from tests.property.reloading import reloaded, restored
from tests.property.test_eviction_machine import MODES as EVICTING
from tests.support import make_rows, poison

COUNTS = st.lists(st.one_of(st.just(1), st.integers(0, 14)), min_size=3, max_size=3)


class RaggedMachine(RuleBasedStateMachine):
    """Every rule is carried out by the reference first, then by the cache."""

    @initialize(
        modes=st.lists(st.one_of(modes(), modes(), EVICTING), min_size=1, max_size=2),
        twice=st.booleans(),
        batch=st.integers(1, 3),
        layout=st.sampled_from(["BSHD", "BHSD"]),
        dtype=st.sampled_from(DTYPES),
    )
    def build(self, modes: list[Mode], twice: bool, **arguments: Any) -> None:
        modes = modes * 2 if twice and len(modes) == 1 else modes
        self.cache: Any = KVCache(
            layers=len(modes), strategy=modes, kv_heads=2, head_dim=2, value_dim=1, **arguments
        )
        self.reference = ReferenceCache(self.cache.config)
        self.layers = range(len(modes))
        self.history = 0
        self.views: dict[int, Any] = {}
        self.shelved: list[tuple[Any, ReferenceCache]] = []

    @rule(
        layer=LAYERS,
        tokens=TOKENS,
        counts=COUNTS,
        padding=st.sampled_from(["right", "left"]),
        order=ORDERS,
    )
    def update_some(
        self, layer: int, tokens: int, counts: list[int], padding: str, order: str
    ) -> None:
        self.give(min(layer, self.layers[-1]), tokens, order, counts, padding)

    @rule(tokens=st.integers(1, 3), counts=COUNTS, as_array=st.booleans(), order=ORDERS)
    def step_of_some(self, tokens: int, counts: list[int], as_array: bool, order: str) -> None:
        """All layers take the same; counts are one list, or an array that the caller reuses."""
        for layer in self.layers:
            self.give(layer, tokens, order, counts, "right", as_array=as_array)

    @rule(layer=LAYERS, tokens=TOKENS, order=ORDERS)
    def update_all(self, layer: int, tokens: int, order: str) -> None:
        self.give(min(layer, self.layers[-1]), tokens, order)

    @rule(order=ORDERS)
    def step(self, order: str) -> None:
        for layer in self.layers:
            self.give(layer, 1, order)

    @rule(back=st.lists(st.integers(-1, 6), min_size=3, max_size=3), start=st.booleans())
    def truncate_each(self, back: list[int], start: bool) -> None:
        """By so many; the first batch row perhaps to nothing."""
        seen = [min(lens) for lens in zip(*self.reference.seq_lens, strict=True)]
        targets = [most - n for most, n in zip(seen, back, strict=False)]
        targets[0] = 0 if start else targets[0]
        self.change(lambda of: of.truncate(targets))

    @rule(seq_len=st.integers(-1, 12))
    def truncate_all(self, seq_len: int) -> None:
        self.change(lambda of: of.truncate(seq_len))

    @rule(tokens=st.integers(0, 3), layer=LAYERS)
    def update_to_total(self, tokens: int, layer: int) -> None:
        """The ``seq_len=`` form, which asks for batch rows that are alike."""
        layer = min(layer, self.layers[-1])
        total = self.reference.seq_lens[layer][0] + tokens
        replaces = isinstance(self.cache.config.layers[layer].strategy, Replace)
        count = total if replaces else tokens
        rows = self.rows(layer, count)
        # The reference takes one row for all batch rows here, so it is only asked whether.
        would = self.reference.copy()
        refused, _ = outcome(lambda: would.update(layer, [b""] * count, seq_len=total))
        if refused is not None:
            refuse(refused, lambda: self.cache.update(layer, *rows, seq_len=total))
            return
        self.cache.update(layer, *rows, seq_len=total)
        names = names_apart(*rows, self.cache.layout)
        self.reference.update(layer, names, token_counts=[count] * self.cache.batch)
        if count or replaces:
            self.expire([layer])

    @rule(layer=LAYERS, seed=st.integers(0, 2**32 - 1), padding_too=st.booleans())
    def observe(self, layer: int, seed: int, padding_too: bool) -> None:
        """Weights of an update's queries; those of padding, whatever they are, are nobody's."""
        layer = min(layer, self.layers[-1])
        view = self.views.get(layer) or self.cache.read(layer)
        batch, mask = self.cache.batch, view.mask()
        shape = (batch, 2, mask.shape[-2], view.row_count)
        weights = np.random.default_rng(seed).integers(0, 17, shape) / 16
        columns = np.broadcast_to(view.positions, (batch, view.row_count)).tolist()
        told = weights.copy()
        for batch_row, (first, stop) in enumerate(self.queries_of(view)):
            told[batch_row, :, :first] = told[batch_row, :, stop:] = 0
            if padding_too:
                weights[batch_row, :, :first] = weights[batch_row, :, stop:] = np.nan
        self.both(
            lambda: self.reference.observe(layer, columns, told.tolist()),
            lambda: self.cache.observe(view, weights),
        )

    @rule(
        verb=st.sampled_from(["pin", "unpin", "evict"]),
        which=st.lists(st.integers(-1, 14), max_size=3),
        near=st.booleans(),
    )
    def pin_unpin_or_evict(self, verb: str, which: list[int], near: bool) -> None:
        held = self.reference.positions(0)
        named = [held[number % len(held)] for number in which] if near and held else which
        done = self.both(
            lambda: getattr(self.reference, verb)(named),
            lambda: getattr(self.cache, verb)(named),
        )
        if done and verb == "evict" and named:
            configs = self.cache.config.layers
            self.expire([n for n in self.layers if getattr(configs[n].strategy, "eviction", None)])

    @rule(go_on_with_copy=st.booleans())
    def copy(self, go_on_with_copy: bool) -> None:
        twins = self.cache.copy(), self.reference.copy()
        if go_on_with_copy:
            twins, (self.cache, self.reference) = (self.cache, self.reference), twins
            self.views = {}
        self.shelved = [*self.shelved, twins][-2:]

    @rule(back_from=st.sampled_from([reloaded, restored]))
    def leave_and_come_back(self, back_from: Callable[[Any], Any]) -> None:
        """From a file, or from the spill of a pool, in which the twin goes on."""
        twin = back_from(self.cache)
        if twin is not None:
            self.shelved = [*self.shelved, (self.cache, self.reference.copy())][-2:]
            self.cache, self.views = twin, {}

    @invariant()
    def same(self) -> None:
        compare(self.cache, self.reference)
        for view in self.views.values():
            view.positions  # noqa: B018  # still good

    def teardown(self) -> None:
        for cache, reference in getattr(self, "shelved", []):
            compare(cache, reference)

    # How the rules work

    def rows(self, layer: int, tokens: int) -> Any:
        self.history += 1
        return make_rows(self.cache.config, layer, 0, tokens, history=self.history)

    def give(
        self,
        layer: int,
        tokens: int,
        order: str,
        counts: list[int] | None = None,
        padding: str = "right",
        *,
        as_array: bool = False,
    ) -> None:
        """One update of both."""
        cache, batch = self.cache, self.cache.batch
        mode = cache.config.layers[layer].strategy
        tokens = min(tokens, most_tokens(mode))
        keys, values = self.rows(layer, tokens)
        names = names_apart(keys, values, cache.layout)
        real = [tokens] * batch if counts is None else [min(n, tokens) for n in counts[:batch]]
        options: dict[str, Any] = {"order": order}
        if counts is not None:
            options |= {"token_counts": np.array(real) if as_array else real, "padding": padding}
        refused, seen = outcome(
            lambda: self.reference.update(layer, names, token_counts=real, padding=padding)
        )
        if refused is not None:
            refuse(refused, lambda: cache.update(layer, keys, values, **options))
            return
        view = cache.update(layer, keys, values, **options)
        if as_array and counts is not None:
            options["token_counts"].fill(-1)
        if sum(real) or isinstance(mode, Replace):
            self.expire([layer])
        lines = counts is not None
        assert_shows_ragged(view, seen, cache, layer, tokens, padding, lines=lines)
        self.views[layer] = view

    def queries_of(self, view: Any) -> list[tuple[int, int]]:
        """Where the real queries stand on the token axis, by what the mask of each says."""
        tokens = view.mask().shape[-2]
        asked = view._rows().asked
        if len(asked) == 1 < self.cache.batch:
            return [(0, tokens)] * self.cache.batch
        return [(first, stop) for _, first, stop in asked]

    def change(self, verb: Callable[[Any], Any]) -> None:
        if self.both(lambda: verb(self.reference), lambda: verb(self.cache)):
            self.expire(self.layers)

    def both(self, by_reference: Callable[[], Any], by_cache: Callable[[], Any]) -> bool:
        """Whether it was done; a refusal must be the same in both."""
        refused, _ = outcome(by_reference)
        if refused is not None:
            refuse(refused, by_cache)
            return False
        by_cache()
        return True

    def expire(self, layers: Any) -> None:
        """These layers have changed: their views are stale, and those of their batch rows."""
        for layer in layers:
            view = self.views.pop(layer, None)
            if view is not None:
                uses: list[Callable[[Any], Any]] = [tuple, lambda v: v.mask(), lambda v: v.evicted]
                for use in (*uses, lambda v: v.batch_row(0), lambda v: v.segments):
                    refused, _ = outcome(lambda use=use, view=view: use(view))
                    assert refused is StaleViewError


def compare(cache: Any, reference: ReferenceCache) -> None:
    cache.check()
    poison(cache)
    assert_ragged_state(cache, reference)


TestRagged = RaggedMachine.TestCase
TestRagged.settings = settings(
    max_examples=often(80),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
