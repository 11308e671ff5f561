"""The slow twin of attend: float64, one query and head at a time, over what the reference shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kvring import KVCache, KVView, attend
from kvring.config import Mode
from kvring.reference import ReferenceCache, ReferenceView
from tests.support import Array, poison, token_axis


@dataclass
class Answer:
    """What attention gives, ``(batch, queries, query_heads, ...)``, and how far off it may be."""

    output: Array
    allowed: Array
    lse: Array
    weights: list[list[list[dict[int, float]]]] = field(default_factory=list)


def attention64(
    query: Array,
    seen: ReferenceView,
    *,
    scale: float,
    softcap: float | None = None,
    sink_logits: Array | None = None,
) -> Answer:
    """Attention of `query`, ``(batch, queries, query_heads, head_dim)``, over rows of K and V.

    A row of the reference is ``(keys, values)``, each ``(batch, kv_heads, dim)`` of float64.
    """
    batch, tokens, query_heads, _ = query.shape
    value_dim = next((row[1].shape[2] for view in seen.batch_row(0).visible for _, row in view), 1)
    shape = (batch, tokens, query_heads)
    answer = Answer(np.zeros((*shape, value_dim)), np.zeros((*shape, value_dim)), np.zeros(shape))
    for b, t, h in np.ndindex(shape):
        entries = seen.batch_row(b).visible[t]
        logits = [] if sink_logits is None else [float(sink_logits[h])]
        scores, values = [], []
        for _, (keys, row_values) in entries:
            kv_head = h // (query_heads // keys.shape[1])
            score = float(query[b, t, h].astype(np.float64) @ keys[b, kv_head]) * scale
            scores.append(score if softcap is None else softcap * np.tanh(score / softcap))
            values.append(row_values[b, kv_head])
        total = np.logaddexp.reduce([*scores, *logits]) if entries or logits else -np.inf
        answer.lse[b, t, h] = total
        weights = np.exp(np.array(scores) - total) if entries else np.zeros(0)
        if entries:
            answer.output[b, t, h] = weights @ np.array(values)
            largest = max(abs(score) for score in scores)
            spread = weights @ np.abs(np.array(values))
            answer.allowed[b, t, h] = 1e-6 * (4 + largest) * spread
        answer.weights.append([[dict(zip([p for p, _ in entries], weights, strict=True))]])
    return answer


class Pair:
    """A cache and the reference, fed with the same tokens; rows nobody may see are poisoned."""

    def __init__(self, rng: np.random.Generator, strategy: Mode, **arguments: Any) -> None:
        self.rng = rng
        self.cache = KVCache(layers=1, strategy=strategy, **arguments)
        self.reference = ReferenceCache(self.cache.config)
        self.axis = token_axis(self.cache.layout)

    def new_rows(self, count: int) -> tuple[Array, Array]:
        """Random K and V of `count` tokens, in the cache's layout and dtype."""
        config = self.cache.config
        layer = config.layers[0]
        made = []
        for dim in (layer.head_dim, layer.value_dim):
            shape = [config.batch, layer.kv_heads, dim]
            shape.insert(self.axis, count)
            made.append(self.rng.standard_normal(shape, np.float32).astype(config.dtype))
        return made[0], made[1]

    def update(self, count: int, order: Any = "temporal") -> tuple[KVView, ReferenceView]:
        """As many tokens more, to both."""
        keys, values = self.new_rows(count)
        wide = [np.moveaxis(a.astype(np.float64), self.axis, 0) for a in (keys, values)]
        seen = self.reference.update(0, list(zip(*wide, strict=True)))
        view = self.cache.update(0, keys, values, order=order)
        self.cache.check()
        poison(self.cache)
        return view, seen

    def query(self, count: int, group: int, dtype: Any = np.float32) -> Array:
        """Random queries for `count` tokens, in the cache's layout."""
        layer = self.cache.config.layers[0]
        shape = [self.cache.batch, layer.kv_heads * group, layer.head_dim]
        shape.insert(self.axis, count)
        return (2 * self.rng.standard_normal(shape, np.float32)).astype(dtype)

    def check(
        self, query: Array, view: KVView, seen: ReferenceView, *, threads: int = 1, **options: Any
    ) -> None:
        """attend over `view` against the twin over `seen`: output, weights and log-sum-exp."""
        scale = options.get("scale") or query.shape[3] ** -0.5
        with_tokens_first = np.swapaxes(query, 1, self.axis)
        known = {name: options.get(name) for name in ("softcap", "sink_logits")}
        twin = attention64(with_tokens_first, seen, scale=scale, **known)
        got, weights, lse = attend(query, view, weights=True, lse=True, threads=threads, **options)
        assert got.dtype == weights.dtype == lse.dtype == np.float32
        output = np.swapaxes(got, 1, self.axis)
        assert (np.abs(output - twin.output) <= twin.allowed).all()
        largest = np.abs(np.where(np.isfinite(twin.lse), twin.lse, 0))
        found = np.swapaxes(lse, 1, self.axis)
        assert (np.isneginf(found) == np.isneginf(twin.lse)).all()
        finite = np.isfinite(twin.lse)
        assert (np.abs(found - twin.lse)[finite] <= 1e-6 * (8 + 2 * largest)[finite]).all()
        self._check_weights(np.swapaxes(weights, 1, self.axis), twin, view)

    def _check_weights(self, weights: Array, twin: Answer, view: KVView) -> None:
        assert weights.shape == (*twin.lse.shape, view.row_count)
        places = list(np.ndindex(twin.lse.shape))
        for (b, t, h), [[expected]] in zip(places, twin.weights, strict=True):
            positions = view.positions if view.positions.ndim == 1 else view.positions[b]
            got = dict(zip(positions.tolist(), weights[b, t, h].tolist(), strict=True))
            dead = weights[b, t, h][positions < 0]
            assert not dead.any()
            got.pop(-1, None)
            for position, weight in got.items():
                assert abs(weight - expected.get(position, 0.0)) <= 2e-5
