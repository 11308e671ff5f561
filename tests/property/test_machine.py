"""The cache against the reference, step by step, through whatever Hypothesis thinks of.

After every step all is compared, with every unused slot poisoned. `often` says how many runs
of up to 30 steps there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kvring import KVCache
from kvring.config import Replace
from kvring.errors import ShapeError
from kvring.reference import ReferenceCache, ReferenceView
from tests.often import often
from tests.property.comparing import (
    KEPT,
    Expected,
    Pair,
    assert_copy_shows,
    expected_view,
    outcome,
    refuse,
)
from tests.property.drawing import (
    DISGUISES,
    LAYERS,
    ORDERS,
    TOKENS,
    WRONG_CALLS,
    cache_arguments,
    most_tokens,
    part_of,
    wrong_call,
)
from tests.property.reloading import reloaded, restored
from tests.support import Array, make_rows, token_axis, token_names

LONGEST_HISTORY = 40  # tokens given again in full


class CacheMachine(RuleBasedStateMachine):
    """Rules for every operation; each is carried out by the reference first, then by the cache."""

    @initialize(arguments=cache_arguments())
    def build(self, arguments: dict[str, Any]) -> None:
        cache = KVCache(**arguments)
        self.pair = Pair(cache, ReferenceCache(cache.config))
        self.layers = range(arguments["layers"])
        self.history = 0  # rows made so far: no two calls give the same ones
        self.shelved: list[Pair] = []
        self.copies: list[tuple[Pair, int, Any, Expected]] = []

    # Updates

    @rule(layer=LAYERS, tokens=TOKENS, order=ORDERS, looked_at=st.booleans())
    def update(self, layer: int, tokens: int, order: str, looked_at: bool) -> None:
        layer = min(layer, self.layers[-1])
        self.give(layer, self.rows(layer, tokens), order=order, looked_at=looked_at)

    @rule(tokens=TOKENS, order=ORDERS, total=st.booleans())
    def step(self, tokens: int, order: str, total: bool) -> None:
        """The same tokens for every layer, as a model does; also in the ``seq_len=`` form."""
        for layer in self.layers:
            seq_len = self.seq_len(layer) + tokens if total else None
            keys, values = self.rows(layer, tokens, at_most=tokens)
            self.give(layer, (keys, values), seq_len=seq_len, order=order)

    @rule(layer=LAYERS, tokens=TOKENS, disguise=st.sampled_from(sorted(DISGUISES)), order=ORDERS)
    def update_from_odd_memory(self, layer: int, tokens: int, disguise: str, order: str) -> None:
        layer = min(layer, self.layers[-1])
        keys, values = self.rows(layer, tokens)
        given_keys, memory_of_keys = DISGUISES[disguise](keys)
        given_values, memory_of_values = DISGUISES[disguise](values)

        def scribble() -> None:
            memory_of_keys.fill(0)
            memory_of_values.fill(0)

        self.give(layer, (given_keys, given_values), order=order, afterwards=scribble)

    @rule(
        layer=LAYERS,
        source=st.sampled_from(["temporal", "physical", "segment", "ring"]),
        part=st.tuples(st.integers(0, 8), st.integers(1, 14), st.sampled_from([1, -1])),
        order=ORDERS,
    )
    def update_from_itself(
        self, layer: int, source: str, part: tuple[int, int, int], order: str
    ) -> None:
        """As if the rows had been copied first, wherever they lie and are to go."""
        layer = min(layer, self.layers[-1])
        cache = self.pair.cache
        if source == "ring":
            keys, values = cache.rings[layer]._keys, cache.rings[layer]._values
        elif source == "segment":
            keys, values = cache.read(layer).segments[-1]
        else:
            keys, values = cache.read(layer, order=source)
        axis = token_axis(cache.config.layout)
        rows = part_of(keys, axis, *part), part_of(values, axis, *part)
        self.give(layer, rows, order=order)

    @rule(
        layer=LAYERS,
        form=st.sampled_from(["new rows", "full history", "reached", "reached, full", "less"]),
        tokens=TOKENS,
        order=ORDERS,
    )
    def update_to_total(self, layer: int, form: str, tokens: int, order: str) -> None:
        """The forms of ``seq_len=`` that law 6 knows, if the mode does."""
        layer = min(layer, self.layers[-1])
        before = self.seq_len(layer)
        if form == "full history" and before <= LONGEST_HISTORY:
            total, given = before + tokens, before + tokens
        elif form in ("new rows", "full history"):
            total, given = before + tokens, tokens
        elif form.startswith("reached"):
            total, given = before, before if form == "reached, full" else 0
        else:
            total, given = before - tokens, 0
        rows = self.rows(layer, given, at_most=max(given, 1))
        self.give(layer, rows, seq_len=total, order=order)

    @rule(layer=LAYERS, tokens=st.integers(0, 8), total=st.integers(-2, 12), order=ORDERS)
    def update_to_any_total(self, layer: int, tokens: int, total: int, order: str) -> None:
        layer = min(layer, self.layers[-1])
        self.give(layer, self.rows(layer, tokens), seq_len=total, order=order)

    # Everything else

    @rule(dropped=st.one_of(st.integers(0, 4), st.integers(-2, 10)))
    def truncate(self, dropped: int) -> None:
        seq_len = self.pair.reference.seq_len - dropped
        self.truncate_all(seq_len)

    @precondition(lambda self: self.has_grown())
    @rule(seq_len=st.integers(-1, 6))
    def truncate_near_the_start(self, seq_len: int) -> None:
        self.truncate_all(seq_len)

    @precondition(lambda self: self.has_grown())
    @rule()
    def reset(self) -> None:
        self.pair.reference.reset()
        self.pair.cache.reset()
        self.pair.expire(self.layers)

    @rule(layer=LAYERS, order=ORDERS, looked_at=st.booleans())
    def read(self, layer: int, order: str, looked_at: bool) -> None:
        layer = min(layer, self.layers[-1])
        seen = self.pair.reference.read(layer)
        self.keep(layer, self.pair.cache.read(layer, order=order), seen, order, looked_at)

    @rule(which=st.integers(0, KEPT - 1))
    def copy_view(self, which: int) -> None:
        """A copy of a view stays as it is, whatever becomes of the layer."""
        for layer, view, expected, _ in self.pair.views[which : which + 1]:
            self.copies = [*self.copies, (self.pair, layer, view.copy(), expected)][-KEPT:]

    @rule(go_on_with_copy=st.booleans())
    def copy(self, go_on_with_copy: bool) -> None:
        """The one that is put away is looked at again when the run ends."""
        twin = Pair(self.pair.cache.copy(), self.pair.reference.copy())
        going_on, shelved = (twin, self.pair) if go_on_with_copy else (self.pair, twin)
        self.pair = going_on
        self.shelved = [*self.shelved, shelved][-KEPT:]

    @rule()
    def save_and_load(self) -> None:
        """The twin goes on, as if nothing had happened; the saved one is put away."""
        self.go_on_with(reloaded(self.pair.cache))

    @rule()
    def spill_and_restore(self) -> None:
        """The same with a pool, in which the twin goes on."""
        self.go_on_with(restored(self.pair.cache))

    @rule(
        layer=LAYERS,
        tokens=st.integers(0, 3),
        name=WRONG_CALLS,
        spoiled=st.sampled_from(["keys", "values", "both"]),
    )
    def wrong_call(self, layer: int, tokens: int, name: str, spoiled: str) -> None:
        """The comparison after the step finds out whether anything has changed."""
        layer = min(layer, self.layers[-1])
        room = self.pair.reference.room
        keys, values = self.rows(layer, tokens if room is None else min(tokens, room))
        error, call = wrong_call(name, spoiled)
        with pytest.raises(error):
            call(self.pair.cache, layer, keys, values)

    @rule(layer=LAYERS, keys=st.integers(0, 3), values=st.integers(0, 3))
    def keys_and_values_of_other_counts(self, layer: int, keys: int, values: int) -> None:
        layer = min(layer, self.layers[-1])
        room = self.pair.reference.room
        if keys != values and (room is None or max(keys, values) <= room):
            given = (
                self.rows(layer, keys, at_most=keys)[0],
                self.rows(layer, values, at_most=values)[1],
            )
            with pytest.raises(ShapeError):
                self.pair.cache.update(layer, *given)

    @invariant()
    def same(self) -> None:
        self.pair.compare()

    def teardown(self) -> None:
        for pair in getattr(self, "shelved", []):
            pair.compare()
        for pair, layer, view, expected in getattr(self, "copies", []):
            assert_copy_shows(view, expected, pair.cache, layer)

    # How the rules work

    def has_grown(self) -> bool:
        """Whether going back to the start is worth it: rings shall wrap first."""
        return max(map(self.seq_len, self.layers)) > 6

    def seq_len(self, layer: int) -> int:
        return self.pair.reference.seq_lens[layer][0]

    def rows(self, layer: int, tokens: int, at_most: int | None = None) -> tuple[Array, Array]:
        """K and V of tokens that nobody has seen before."""
        config = self.pair.cache.config
        limit = most_tokens(config.layers[layer].strategy) if at_most is None else at_most
        self.history += 1
        return make_rows(config, layer, 0, min(tokens, limit), history=self.history)

    def give(
        self,
        layer: int,
        rows: tuple[Array, Array],
        *,
        seq_len: int | None = None,
        order: str = "temporal",
        looked_at: bool = True,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        """One update of both."""
        cache, reference = self.pair.cache, self.pair.reference
        names = token_names(*rows, cache.config.layout)
        before = self.seq_len(layer)
        total = {} if seq_len is None else {"seq_len": seq_len}
        refused, seen = outcome(lambda: reference.update(layer, names, **total))
        if refused is not None:
            refuse(refused, lambda: cache.update(layer, *rows, order=order, **total))
            return
        view = cache.update(layer, *rows, order=order, **total)
        afterwards()
        replaced = isinstance(cache.config.layers[layer].strategy, Replace)
        if replaced or self.seq_len(layer) > before:
            self.pair.expire([layer])
        elif self.seq_len(layer) < before:  # by a smaller seq_len=
            self.pair.expire(self.layers)
        self.keep(layer, view, seen, order, looked_at)

    def keep(self, layer: int, view: Any, seen: ReferenceView, order: str, looked_at: bool) -> None:
        expected = expected_view(self.pair.cache, self.pair.reference, layer, seen, order)
        self.pair.views = [*self.pair.views, (layer, view, expected, looked_at)][-KEPT:]

    def go_on_with(self, twin: Any) -> None:
        self.shelved = [*self.shelved, self.pair][-KEPT:]
        self.pair = Pair(twin, self.pair.reference.copy())

    def truncate_all(self, seq_len: int) -> None:
        refused, _ = outcome(lambda: self.pair.reference.truncate(seq_len))
        if refused is not None:
            refuse(refused, lambda: self.pair.cache.truncate(seq_len))
        else:
            self.pair.cache.truncate(seq_len)
            self.pair.expire(self.layers)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(
    max_examples=often(120),
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,  # one short sequence at a time
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
