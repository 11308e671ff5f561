"""Eviction: what it adds to an update when somebody has to go, and what telling weights costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kvring import FIFO, LRU, Append, HeavyHitter, KVCache
from kvring.bench import Contestant, measure

__all__ = ["eviction", "full_cache", "observing", "one_token"]

CAPACITIES = (1024, 8192, 131_072)
POLICIES = {"FIFO": FIFO(), "LRU": LRU(), "HeavyHitter": HeavyHitter(recent_tokens=64)}
SHAPE = (3, 64)
STEPS = 100  # updates in one timed run
QUERY_HEADS = 9


def full_cache(policy: Any, capacity: int, shape: tuple[int, int] = SHAPE) -> KVCache:
    """One layer in which the next token has to push one out."""
    mode = Append(capacity, eviction=policy, sink_tokens=4)
    cache = KVCache(layers=1, kv_heads=shape[0], head_dim=shape[1], strategy=mode)
    rows = np.zeros((1, capacity, *shape), np.float32)
    view = cache.update(0, rows, rows)
    last = cache.read(0)
    weights = np.random.default_rng(0).random((1, shape[0], 1, view.row_count), np.float32)
    cache.observe(last, weights / weights.sum(axis=-1, keepdims=True))
    return cache


def one_token(capacity: int, rounds: int) -> dict[str, Contestant]:
    """`STEPS` one-token updates: of an append layer with room, and of full layers."""
    row = np.ones((1, 1, *SHAPE), np.float32)
    tokens = (rounds + 3) * STEPS
    plain = KVCache(layers=1, kv_heads=SHAPE[0], head_dim=SHAPE[1], strategy=Append(tokens))
    zeros = np.zeros((1, tokens, *SHAPE), np.float32)
    plain.update(0, zeros, zeros)  # memory that was touched before, as in the full ones
    plain.truncate(0)

    def contestant(cache: KVCache) -> Contestant:
        def run() -> None:
            for _ in range(STEPS):
                cache.update(0, row, row, order="physical")

        return Contestant(run)

    caches = {name: full_cache(policy, capacity) for name, policy in POLICIES.items()}
    return {"room": contestant(plain)} | {n: contestant(c) for n, c in caches.items()}


def observing(capacity: int, policy: Any) -> Mapping[str, Contestant]:
    """The weights of one query, told, and merely read."""
    cache = full_cache(policy, capacity)
    view = cache.read(0, order="physical")
    weights = np.random.default_rng(1).random((1, QUERY_HEADS, 1, view.row_count), np.float32)
    weights /= weights.sum(axis=-1, keepdims=True)
    return {
        "read": Contestant(lambda: weights.sum()),
        "observe": Contestant(lambda: cache.observe(view, weights)),
    }


def eviction() -> str:
    """Eviction: one token in a full layer, and the weights of a query."""
    lines = [
        "\n## Eviction\n",
        "One layer of 3 x 64 float32, physical order. *Room* is a one-token update of an append",
        "layer without a policy that has room; the others push a row out with every token. Limit",
        "for FIFO and LRU: 3.0, whatever the capacity.\n",
        f"| capacity | room, us | {' | '.join(POLICIES)} |",
        "|---|---|---|---|---|",
    ]
    rounds = 60
    for capacity in CAPACITIES:
        result = measure(one_token(capacity, rounds), rounds)
        ratios = " | ".join(f"{result.ratio(name, to='room'):.2f}" for name in POLICIES)
        room = result.typical("room") / STEPS * 1e6
        lines.append(f"| {capacity:,} | {room:.2f} | {ratios} |")
    lines += [
        f"\n`observe` with the float32 weights of {QUERY_HEADS} query heads and one query, against",
        "one `weights.sum()`, which reads them once.\n",
        "| capacity | sum, us | LRU | HeavyHitter |",
        "|---|---|---|---|",
    ]
    for capacity in CAPACITIES:
        results = [measure(observing(capacity, POLICIES[n]), 60) for n in ("LRU", "HeavyHitter")]
        ratios = " | ".join(f"{result.ratio('observe', to='read'):.2f}" for result in results)
        lines.append(f"| {capacity:,} | {results[0].typical('read') * 1e6:.1f} | {ratios} |")
    return "\n".join(lines) + "\n"
