"""attend over any view is attention over what the reference shows, within float32's digits."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from kvring import Append, Circular, KVCache, Replace, attend, merge_attention
from tests.attention.twin import Pair
from tests.often import often
from tests.support import Array, token_axis

pytest.importorskip("ml_dtypes")

WITHOUT_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
HISTORIES = range(often(60, at_least=12))
STORED = ["float32", "float16", "bfloat16"]
LAYOUTS = ["BSHD", "BHSD"]


def drawn_mode(rng: np.random.Generator) -> Any:
    kind = rng.integers(5)
    if kind < 3:
        sinks, back = int(rng.integers(0, 4)), int(rng.integers(0, 4))
        window = int(rng.integers(1, 12))
        return Circular(window=window, sink_tokens=sinks, rollback_tokens=back)
    return Append(80) if kind == 3 else Replace(30)


def drawn_pair(rng: np.random.Generator) -> Pair:
    return Pair(
        rng,
        drawn_mode(rng),
        batch=int(rng.integers(1, 3)),
        kv_heads=int(rng.integers(1, 4)),
        head_dim=int(rng.choice([1, 2, 5, 8, 12])),
        value_dim=int(rng.choice([1, 3, 8, 9])),
        dtype=str(rng.choice(STORED)),
        layout=str(rng.choice(LAYOUTS)),
    )


def drawn_options(rng: np.random.Generator, query_heads: int) -> dict[str, Any]:
    options: dict[str, Any] = {"threads": int(rng.integers(1, 4))}
    if rng.random() < 0.3:
        options["softcap"] = 2.5
    if rng.random() < 0.3:
        options["scale"] = 0.7
    if rng.random() < 0.3:
        options["sink_logits"] = rng.standard_normal(query_heads, np.float32)
    return options


@pytest.mark.parametrize("seed", HISTORIES)
def test_any_history_gives_what_the_reference_lets_each_query_see(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pair = drawn_pair(rng)
    for _ in range(8):
        room = pair.cache.room
        count = int(rng.choice([1, 1, 1, 2, 3, 13]))
        count = count if room is None else min(count, room)
        view, seen = pair.update(count, order=str(rng.choice(["temporal", "physical"])))
        group = int(rng.integers(1, 6))
        dtype = pair.cache.dtype if rng.random() < 0.3 else np.float32
        query = pair.query(count, group, dtype)
        options = drawn_options(rng, group * pair.cache.config.layers[0].kv_heads)
        pair.check(query, view, seen, **options)
        pair.check(query, view.copy(), seen, **options)
        one = pair.query(1, group)
        read = pair.cache.read(0, order=str(rng.choice(["temporal", "physical"])))
        pair.check(one, read, pair.reference.read(0), **options)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_rows_of_real_head_sizes(dtype: str, layout: str) -> None:
    """Blocks, tiles and pairs of rows that are whole, and the remainders of each."""
    rng = np.random.default_rng(7)
    tokens, dim = (40, 8) if WITHOUT_JIT else (333, 64)
    pair = Pair(rng, Append(2 * tokens), kv_heads=3, head_dim=dim, dtype=dtype, layout=layout)
    pair.update(tokens)
    for count in (1, 11):
        view, seen = pair.update(count)
        for group in (1, 4, 7):
            pair.check(pair.query(count, group), view, seen, threads=2)


@pytest.mark.parametrize("order", ["temporal", "physical"])
def test_after_a_rollback_the_dropped_rows_are_not_seen(order: Any) -> None:
    rng = np.random.default_rng(1)
    pair = Pair(rng, Circular(5, 2, 3), kv_heads=2, head_dim=4)
    pair.update(13)
    for seq_len in (11, 10):
        for cache in (pair.cache, pair.reference):
            cache.truncate(seq_len)
        pair.check(pair.query(1, 2), pair.cache.read(0, order=order), pair.reference.read(0))
    view, seen = pair.update(2, order)
    pair.check(pair.query(2, 2), view, seen)


def test_an_assembled_view_is_read_as_well() -> None:
    rng = np.random.default_rng(2)
    pair = Pair(rng, Circular(4, 1, 2), kv_heads=2, head_dim=4)
    pair.update(12)
    view, seen = pair.update(5)
    assert "assembled" in repr(view)
    pair.check(pair.query(5, 2), view, seen)


def test_an_empty_layer_gives_zeros_and_a_view_of_no_queries_gives_none() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=2, strategy=Append(4))
    out, weights, lse = attend(
        np.ones((1, 1, 2, 2), np.float32), cache.read(0), weights=True, lse=True
    )
    assert (out == 0).all()
    assert weights.shape == (1, 1, 2, 0)
    assert np.isneginf(lse).all()
    none = np.empty((1, 0, 1, 2), np.float32)
    assert attend(none, cache.update(0, none, none)).shape == (1, 0, 1, 2)


def test_a_query_that_sees_nothing_but_a_sink_logit_gives_zeros() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=2, strategy=Append(4))
    query, logits = np.ones((1, 1, 2, 2), np.float32), np.array([3, -np.inf], np.float32)
    out, lse = attend(query, cache.read(0), sink_logits=logits, lse=True)
    assert (out == 0).all()
    assert lse.ravel().tolist() == [3, -np.inf]


def test_a_key_that_nobody_may_see_yet_can_hold_anything() -> None:
    """A chunk's early queries share a pass with the late ones, never their rows."""
    cache = KVCache(layers=1, kv_heads=1, head_dim=2, strategy=Circular(2))
    rows = np.ones((1, 4, 1, 2), np.float32)
    rows[:, 3] = np.nan
    out = attend(rows * 0, cache.update(0, rows, rows))
    assert (out[0, :3] == 1).all()
    assert np.isnan(out[0, 3]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_nan_in_a_query_stays_in_that_querys_output(bad: float) -> None:
    rng = np.random.default_rng(3)
    pair = Pair(rng, Append(40), kv_heads=2, head_dim=4, batch=2)
    view, _ = pair.update(40)
    query = pair.query(40, 3)
    expected, expected_weights, expected_lse = attend(query, view, weights=True, lse=True)
    broken = query.copy()
    broken[1, 7, 4, 2] = bad
    out, weights, lse = attend(broken, view, weights=True, lse=True)
    others = np.ones(query.shape[:3], bool)
    others[1, 7, 4] = False
    assert np.isnan(out[1, 7, 4]).all()
    assert (out[others] == expected[others]).all()
    assert (weights[others] == expected_weights[others]).all()
    assert (lse[others] == expected_lse[others]).all()
    assert (weights[1, 7, 4, 8:] == 0).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides_of_the_query_will_do_and_nothing_is_written_to_it(layout: Any) -> None:
    rng = np.random.default_rng(4)
    pair = Pair(rng, Append(20), kv_heads=2, head_dim=4, layout=layout)
    view, _ = pair.update(9)
    query = pair.query(9, 2)
    expected = attend(query, view)
    wide = np.zeros((*query.shape[:3], 8), np.float32)
    wide[..., ::2] = query
    turned = np.asfortranarray(query)
    backwards = query[:, ::-1, ::-1, ::-1].copy()[:, ::-1, ::-1, ::-1]
    for strided in (wide[..., ::2], turned, backwards):
        strided.flags.writeable = False
        assert (attend(strided, view) == expected).all()


def test_out_is_filled_and_returned() -> None:
    rng = np.random.default_rng(5)
    pair = Pair(rng, Append(20), kv_heads=2, head_dim=4, value_dim=3)
    view, _ = pair.update(9)
    query = pair.query(9, 2)
    out = np.full((1, 9, 4, 3), np.nan, np.float32)
    assert attend(query, view, out=out) is out
    assert (out == attend(query, view)).all()


def test_threads_share_the_heads_and_change_no_bit() -> None:
    rng = np.random.default_rng(6)
    tokens = 60 if WITHOUT_JIT else 1500
    pair = Pair(rng, Append(tokens), kv_heads=3, head_dim=16, batch=2)
    pair.update(tokens - 1)
    view, _ = pair.update(1)
    query = pair.query(1, 4)
    expected = attend(query, view, weights=True, lse=True)
    for threads in (2, 3, 4, 99):
        for got, wanted in zip(
            attend(query, view, weights=True, lse=True, threads=threads), expected, strict=True
        ):
            assert (got == wanted).all()


def parts_of(keys: Array, values: Array, query: Array, cuts: list[int]) -> list[Any]:
    """attend over each part of the rows, as if they lay in several caches."""
    parts = []
    for start, stop in pairwise(cuts):
        cache = KVCache(layers=1, kv_heads=2, head_dim=4, strategy=Append(64))
        if stop > start:
            cache.update(0, keys[:, start:stop], values[:, start:stop])
        parts.append(attend(query, cache.read(0), lse=True))
    return parts


def test_parts_over_several_caches_merge_to_the_whole() -> None:
    rng = np.random.default_rng(8)
    pair = Pair(rng, Append(40), kv_heads=2, head_dim=4)
    keys, values = pair.new_rows(40)
    query = pair.query(1, 3)
    [(whole, whole_lse)] = parts_of(keys, values, query, [0, 40])
    parts = parts_of(keys, values, query, [0, 7, 7, 8, 30, 40])  # one of them empty
    merged, lse = merge_attention(*zip(*parts, strict=True))
    assert np.allclose(merged, whole, rtol=0, atol=2e-6)
    assert np.allclose(lse, whole_lse, rtol=0, atol=2e-6)
    first = merge_attention(*zip(*parts[:2], strict=True))
    again = merge_attention(*zip(first, *parts[2:], strict=True))
    assert np.allclose(again[0], whole, rtol=0, atol=2e-6)


def test_parts_that_all_saw_nothing_merge_to_zeros() -> None:
    query = np.ones((1, 1, 2, 4), np.float32)
    parts = parts_of(query, query, query, [0, 0, 0])
    merged, lse = merge_attention(*zip(*parts, strict=True))
    assert (merged == 0).all()
    assert np.isneginf(lse).all()


def test_the_layouts_axes_of_weights_and_lse() -> None:
    for layout in LAYOUTS:
        rng = np.random.default_rng(9)
        pair = Pair(rng, Append(20), kv_heads=2, head_dim=4, layout=layout)
        view, _ = pair.update(9)
        _, weights, lse = attend(pair.query(9, 3), view, weights=True, lse=True)
        shape = [1, 6]
        shape.insert(token_axis(layout), 9)
        assert weights.shape == (*shape, 9)
        assert lse.shape == tuple(shape)
        assert np.allclose(weights.sum(axis=-1), 1, atol=1e-6)


def test_a_sink_logit_that_is_nan_makes_its_head_nan_and_no_other() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=2, strategy=Append(4))
    rows = np.ones((1, 3, 1, 2), np.float32)
    logits = np.array([np.nan, 0], np.float32)
    query = np.ones((1, 3, 2, 2), np.float32)
    for view in (cache.update(0, rows, rows), cache.read(0)):
        given = query[:, : view.mask().shape[0]]
        out, lse = attend(given, view, sink_logits=logits, lse=True)
        assert np.isnan(out[:, :, 0]).all()
        assert np.isnan(lse[:, :, 0]).all()
        assert np.isfinite(out[:, :, 1]).all()
