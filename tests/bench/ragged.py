"""Ragged batches: what it costs that batch rows go apart."""

from __future__ import annotations

from itertools import chain

import numpy as np

from kvring import Append, Circular, KVCache
from kvring.bench import Contestant, measure

__all__ = ["one_token_apart", "ragged"]

BATCH, LAYERS, STEPS = 8, 30, 5
SHAPES = ((8, 128), (3, 64))
PROMPTS = [40, 3, 20, 11, 9, 37, 1, 30]  # tokens of each batch row before


def one_token_apart(
    mode: Append | Circular, shape: tuple[int, int], dtype: str, *, layers: int = LAYERS
) -> dict[str, Contestant]:
    """One token for each of 8 batch rows, layer after layer: alike, and gone apart before.

    Every slot was written before, so that none has its memory still to come.
    """
    caches = [
        KVCache(
            layers=layers,
            kv_heads=shape[0],
            head_dim=shape[1],
            batch=BATCH,
            dtype=dtype,
            strategy=mode,
        )
        for _ in range(3)
    ]
    longest = max(PROMPTS)
    for cache, layer in ((cache, layer) for cache in caches for layer in range(layers)):
        rows = np.zeros((BATCH, mode.capacity, *shape), dtype)
        cache.update(layer, rows, rows)
    for cache, counts in zip(caches, ([longest] * BATCH, PROMPTS, PROMPTS), strict=True):
        cache.reset()
        rows = np.zeros((BATCH, longest, *shape), dtype)
        for layer in range(layers):
            cache.update(layer, rows, rows, token_counts=counts)
    alike, apart, counted = caches
    row = np.ones((BATCH, 1, *shape), dtype)
    ones = [1] * BATCH

    def uniform(cache: KVCache) -> None:
        for layer in chain(*[range(layers)] * STEPS):
            cache.update(layer, row, row, order="physical")

    def with_counts() -> None:
        for layer in chain(*[range(layers)] * STEPS):
            counted.update(layer, row, row, token_counts=ones, order="physical")

    return {
        "alike": Contestant(lambda: uniform(alike)),
        "apart": Contestant(lambda: uniform(apart)),
        "with counts": Contestant(with_counts),
    }


def ragged() -> str:
    """One token of a ragged batch beside one of a uniform batch."""
    lines = [
        "\n## Ragged batches\n",
        f"One token for each of {BATCH} batch rows, {LAYERS} layers in turn. *apart*: the same",
        "call where batch rows have seen different numbers of tokens; *with counts*: with",
        "`token_counts=[1, ..., 1]`. Against batch rows that are alike; limit 2.5.\n",
        "| mode | kv_heads x head_dim | dtype | alike, us per layer | apart | with counts |",
        "|---|---|---|---|---|---|",
    ]
    rounds = 60
    tokens = max(PROMPTS) + (rounds + 4) * STEPS
    for name, mode in (("append", Append(tokens)), ("wrapped ring", Circular(64, 4, 8))):
        for dtype in ("float32", "float16"):
            for shape in SHAPES:
                result = measure(one_token_apart(mode, shape, dtype), rounds)
                microseconds = result.typical("alike") / STEPS / LAYERS * 1e6
                lines.append(
                    f"| {name} | {shape[0]} x {shape[1]} | {dtype} | {microseconds:.2f}"
                    f" | {result.ratio('apart', to='alike'):.2f}"
                    f" | {result.ratio('with counts', to='alike'):.2f} |"
                )
    return "\n".join(lines) + "\n"
