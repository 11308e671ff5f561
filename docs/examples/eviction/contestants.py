"""Who takes part: caches that forget in different ways, and one that forgets nothing."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kvring import FIFO, LRU, Append, Circular, EvictionPolicy, HeavyHitter, KVCache

SINKS = 4


class TOVA(EvictionPolicy):
    """Who got least from the newest query, over all heads, gives way (arXiv 2401.06104)."""

    def __init__(self) -> None:
        self.positions: NDArray[np.int64] = np.empty(0, np.int64)
        self.weights: NDArray[np.float32] = np.empty(0, np.float32)

    def observed(self, positions: NDArray[np.int64], weights: NDArray[np.float32]) -> None:
        """Remember the newest query's weights, averaged over the heads."""
        order = np.argsort(positions)
        self.positions, self.weights = positions[order], weights[:, -1].mean(axis=0)[order]

    def victims(self, candidates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Choose the lightest of those that the newest query has seen."""
        at = np.searchsorted(self.positions, candidates)
        return candidates[np.argsort(self.weights[at], kind="stable")[:count]]


@dataclass
class Contestant:
    """A cache, and how the model fares with it.

    Parameters
    ----------
    name : str
        For the table.
    cache : KVCache
        All layers, one sequence.
    observes : bool
        Whether it is told the attention weights.
    losses : list of float
        For each token, minus the logarithm of its probability.
    """

    name: str
    cache: KVCache
    observes: bool = False
    losses: list[float] = field(default_factory=list)

    def perplexity(self, start: int = 0) -> float:
        """Of the tokens from number `start` on."""
        return float(np.exp(np.mean(self.losses[start:])))

    def survivors(self) -> list[list[int]]:
        """Resident positions, one list per layer."""
        return [self.cache.positions(layer).tolist() for layer in range(self.cache.layers)]


def make_contestants(
    tokens: int, resident: int, layers: int, kv_heads: int, head_dim: int
) -> list[Contestant]:
    """All of them, empty; each but the first keeps `resident` rows."""

    def cache(strategy: Append | Circular) -> KVCache:
        return KVCache(
            layers=layers, kv_heads=kv_heads, head_dim=head_dim, layout="BHSD", strategy=strategy
        )

    def evicting(policy: FIFO | LRU | HeavyHitter | EvictionPolicy) -> KVCache:
        return cache(Append(resident, eviction=policy, sink_tokens=SINKS))

    recent = resident // 2
    return [
        Contestant("everything kept", cache(Append(tokens))),
        Contestant("circular, no sinks", cache(Circular(resident))),
        Contestant(f"circular, {SINKS} sinks", cache(Circular(resident - SINKS, SINKS))),
        Contestant(f"FIFO, {SINKS} sinks", evicting(FIFO())),
        Contestant(f"LRU, {SINKS} sinks", evicting(LRU()), observes=True),
        Contestant(
            f"HeavyHitter, {recent} recent, {SINKS} sinks",
            evicting(HeavyHitter(recent_tokens=recent)),
            observes=True,
        ),
        Contestant(f"TOVA, {SINKS} sinks", evicting(TOVA()), observes=True),
    ]
