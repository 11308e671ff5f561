"""What beam search costs: reordering batch rows, beside np.copyto of those that change."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvring import Append, KVCache
from kvring.bench import Contestant, measure
from kvring.memory import reserve

__all__ = ["contestants", "section"]

# Parents of four beams, and the copies after which each is what its parent was.
PARENTS = {
    "two of four change": ([1, 1, 0, 3], [(2, 0), (0, 1)]),
    "three die": ([2, 2, 2, 2], [(0, 2), (1, 2), (3, 2)]),
    "two circles": ([1, 0, 3, 2], [(0, 1), (1, 0), (2, 3), (3, 2)]),
}


def contestants(
    tokens: int, layers: int, shape: tuple[int, int], layout: Any, parents: str
) -> dict[str, Contestant]:
    """Both move the same bytes; the copies of a circle are of bytes that are wrong by then."""
    axes = [4, shape[0], shape[1]]
    axes.insert(layout.index("S"), tokens)
    rows = np.random.default_rng(0).random(axes, np.float32)
    cache = KVCache(
        layers=layers,
        kv_heads=shape[0],
        head_dim=shape[1],
        batch=4,
        layout=layout,
        strategy=Append(tokens),
    )
    bare = [_in_memory_of_the_same_kind(rows) for _ in range(2 * layers)]
    for layer in range(layers):
        cache.update(layer, rows, rows)
    chosen, copies = PARENTS[parents]
    cache.reorder(chosen)
    if not np.array_equal(cache.read(layers - 1).values, rows[chosen]):
        raise AssertionError("reorder gives other rows")
    del rows

    def copyto() -> None:
        for stored in bare:
            for to, origin in copies:
                np.copyto(stored[to], stored[origin])

    return {
        "copyto": Contestant(copyto),
        "reorder": Contestant(lambda: cache.reorder(chosen)),
        "identity": Contestant(lambda: cache.reorder([0, 1, 2, 3])),
    }


def _in_memory_of_the_same_kind(rows: np.ndarray) -> np.ndarray:
    """A copy in small pages, as the cache's own."""
    stored = reserve(rows.nbytes).view(rows.dtype).reshape(rows.shape)
    stored[:] = rows
    return stored


def section(tokens: int = 4096, layers: int = 2, rounds: int = 25) -> str:
    """A table."""
    lines = [
        "\n## Beam search\n",
        f"`reorder` of 4 beams at {tokens:,} tokens, {layers} layers of 8 x 128, float32.",
        "Bandwidth as a share of `np.copyto` on the batch rows that change; at least 80 %. In a",
        "circle each batch row is moved through a small buffer besides.\n",
        "| parents | layout | copyto, ms | share of its bandwidth | identity, us |",
        "|---|---|---|---|---|",
    ]
    for name, (chosen, _) in PARENTS.items():
        for layout in ("BSHD", "BHSD"):
            result = measure(contestants(tokens, layers, (8, 128), layout, name), rounds)
            lines.append(
                f"| {chosen}: {name} | {layout} | {result.typical('copyto') * 1e3:.1f}"
                f" | {100 / result.ratio('reorder', to='copyto'):.0f} %"
                f" | {result.typical('identity') * 1e6:.0f} |"
            )
    return "\n".join(lines) + "\n"
