"""Sequences of a pool on their way to disk and back, and what a lease and a pooled step cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from kvring import Append, CachePool, Circular, KVCache
from kvring.bench import Contestant, measure
from kvring.text import human_bytes

__all__ = ["parking"]

SHAPE = (8, 128)
LAYERS = 30
MIB = 1 << 20


def parking(tokens: int = 512, rounds: int = 15, steps: int = 20) -> str:
    """Spill and restore, a lease, a step of a pooled cache."""
    lines = [
        "\n## A pool: spill and restore\n",
        "Two sequences of thirty layers of 8 x 128 in float32 under a budget with room for one,",
        "leased in turn: the one that comes back drives the other out. *Spill*, *restore*: from",
        "the events of the pool, in the page cache of the system, which nobody syncs. *Copy*:",
        "`np.copyto` of as many bytes into new memory.\n",
        "| layout | sequence | spill, ms | restore, ms | copy, ms |",
        "|---|---|---|---|---|",
    ]
    for layout in ("BSHD", "BHSD"):
        with tempfile.TemporaryDirectory(dir=".") as folder:  # where /tmp may be in memory
            times = list(parked(Path(folder), layout, tokens, rounds))
        spill, restore, copy = (1e3 * median(column) for column in zip(*times, strict=True))
        nbytes = tokens * LAYERS * 2 * SHAPE[0] * SHAPE[1] * 4
        lines.append(
            f"| {layout} | {human_bytes(nbytes)} | {spill:.0f} | {restore:.0f} | {copy:.0f} |"
        )
    lease, pooled = lease_microseconds(rounds * 20), step_ratio(rounds * 10, steps)
    lines += [
        "\n| what | |",
        "|---|---|",
        f"| a lease of a sequence in memory, taken and given back | {lease:.0f} us |",
        f"| one-token updates of a leased cache, thirty layers, against `KVCache` | {pooled:.2f} |",
    ]
    return "\n".join(lines) + "\n"


def parked(
    folder: Path, layout: str, tokens: int, rounds: int
) -> Iterator[tuple[float, float, float]]:
    """Seconds of a spill, a restore and a copy, round by round; the first one warms up."""
    told: list[tuple[str, float]] = []
    nbytes = tokens * LAYERS * 2 * SHAPE[0] * SHAPE[1] * 4
    pool = CachePool(
        budget_bytes=nbytes + nbytes // 2,
        layers=LAYERS,
        kv_heads=SHAPE[0],
        head_dim=SHAPE[1],
        strategy=Append(tokens),
        layout=layout,  # type: ignore[arg-type]
        spill=folder,
        on_event=lambda event: told.append((event.kind, perf_counter())),
    )
    axes = (tokens, SHAPE[0]) if layout == "BSHD" else (SHAPE[0], tokens)
    rows = np.random.default_rng(0).standard_normal((1, *axes, SHAPE[1]), np.float32)
    with pool:
        for name in "ab":
            with pool.lease(name) as cache:
                for layer in range(LAYERS):
                    cache.update(layer, rows, rows)
        for number in range(rounds + 1):
            told.clear()
            began = perf_counter()
            with pool.lease("ab"[number % 2]) as cache:
                np.testing.assert_array_equal(cache.read(LAYERS - 1).values, rows)
            at = dict(told)
            if number:
                yield at["spilled"] - began, at["restored"] - at["spilled"], _copied(nbytes)


def _copied(nbytes: int) -> float:
    source = np.ones(nbytes, np.uint8)
    began = perf_counter()
    np.copyto(np.empty_like(source), source)
    return perf_counter() - began


def lease_microseconds(rounds: int) -> float:
    """The median of leases of a sequence that is in memory, among a hundred others."""
    pool = CachePool(
        budget_bytes=256 * MIB, layers=LAYERS, kv_heads=3, head_dim=64, strategy=Append(64)
    )
    row = np.ones((1, 1, 3, 64), np.float32)
    with pool:
        for number in range(100):
            with pool.lease(str(number)) as cache:
                cache.update(0, row, row)
        seconds = []
        for _ in range(rounds):
            began = perf_counter()
            with pool.lease("7"):
                pass
            seconds.append(perf_counter() - began)
    return 1e6 * median(seconds)


def step_ratio(rounds: int, steps: int) -> float:
    """One-token updates of a leased cache against those of one that is in no pool."""
    config = {"layers": LAYERS, "kv_heads": 8, "head_dim": 128, "strategy": Circular(256)}
    row = np.random.default_rng(0).random((1, 1, *SHAPE), np.float32)
    with CachePool(budget_bytes=512 * MIB, **config) as pool, pool.lease("a") as cache:
        caches = {"pooled": cache, "plain": KVCache(**config)}
        contestants = {}
        for name, of in caches.items():
            for _ in range(256):  # every page is there before the clock runs
                _step(of, row, 1)
            contestants[name] = Contestant(lambda of=of: _step(of, row, steps))
        return measure(contestants, rounds).ratio("pooled", to="plain")


def _step(cache: KVCache, row: np.ndarray, steps: int) -> None:
    for _ in range(steps):
        for layer in range(cache.layers):
            cache.update(layer, row, row, order="physical")
