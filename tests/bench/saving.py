"""Saving and loading beside `cp` and `sync` of the same file."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from kvring import Circular, KVCache
from kvring.text import human_bytes

__all__ = ["saving"]

SHAPE = (8, 128)
LAYERS = 30


def saving(tokens: int = 4069, rounds: int = 9) -> str:
    """Save and load a gigabyte, beside `cp` and `sync`."""
    lines = [
        "\n## Saving and loading\n",
        "A wrapped ring of thirty layers of 8 x 128 in float32. *cp*: `cp FILE OTHER; sync OTHER`;",
        "*save*: `cache.save`, which syncs; *load*: `KVCache.load`. Speed: median of the ratios",
        "within each round. Old files are removed and the disk is idle before each. Limit 0.80.\n",
        "| layout | file | cp, s | save, s | load, s | speed of save | speed of load |",
        "|---|---|---|---|---|---|---|",
    ]
    for layout in ("BSHD", "BHSD"):
        with tempfile.TemporaryDirectory(dir=".") as folder:  # where /tmp may be in memory
            times = list(measured(_filled(tokens, layout), Path(folder), rounds))
            nbytes = Path(folder, "saved").stat().st_size
        cp, save, load = (median(column) for column in zip(*times, strict=True))
        of_save = median(cp / save for cp, save, _ in times)
        of_load = median(cp / load for cp, _, load in times)
        lines.append(
            f"| {layout} | {human_bytes(nbytes)} | {cp:.2f} | {save:.2f} | {load:.2f}"
            f" | {of_save:.2f} | {of_load:.2f} |"
        )
    return "\n".join(lines) + "\n"


def measured(cache: KVCache, folder: Path, rounds: int) -> Iterator[tuple[float, float, float]]:
    """Seconds of copying, saving and loading, round by round; the first one warms up."""
    saved, copied = folder / "saved", folder / "copied"
    for number in range(rounds + 1):
        saved.unlink(missing_ok=True)
        save = _seconds(lambda: cache.save(saved))
        copied.unlink(missing_ok=True)
        cp = _seconds(lambda: _copy_and_sync(saved, copied))
        twins: list[KVCache] = []
        load = _seconds(lambda: twins.append(KVCache.load(saved)))  # noqa: B023
        _check(cache, twins[0])
        if number:
            yield cp, save, load


def _copy_and_sync(saved: Path, copied: Path) -> None:
    subprocess.run(["cp", saved, copied], check=True)
    subprocess.run(["sync", copied], check=True)


def _seconds(action: Callable[[], object]) -> float:
    os.sync()
    started = perf_counter()
    action()
    return perf_counter() - started


def _check(cache: KVCache, twin: KVCache) -> None:
    for layer in (0, cache.layers - 1):
        for mine, its in zip(cache.read(layer).segments, twin.read(layer).segments, strict=True):
            for one, other in zip(mine, its, strict=True):
                np.testing.assert_array_equal(one, other)


def _filled(tokens: int, layout: str) -> KVCache:
    """A ring that has wrapped in the middle."""
    cache = KVCache(
        layers=LAYERS,
        kv_heads=SHAPE[0],
        head_dim=SHAPE[1],
        strategy=Circular(tokens),
        layout=layout,  # type: ignore[arg-type]
    )
    axes = (tokens // 2 + 7, SHAPE[0]) if layout == "BSHD" else (SHAPE[0], tokens // 2 + 7)
    rows = np.random.default_rng(0).standard_normal((1, *axes, SHAPE[1]), np.float32)
    for _ in range(3):
        for layer in range(LAYERS):
            cache.update(layer, rows, rows)
    return cache
