"""WHO gives way when an append layer is full: FIFO, LRU, heavy hitters, or a policy of your own.

``FIFO``, ``LRU`` and ``HeavyHitter`` are names with numbers, as ``Append`` itself is; what they
mean is carried out by the cache, on arrays, and by the reference, on lists. A policy of your own
is an object with the methods of :class:`EvictionPolicy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from .errors import ConfigError
from .options import checked_int

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FIFO",
    "LRU",
    "Eviction",
    "EvictionPolicy",
    "HeavyHitter",
    "checked_eviction",
]


@dataclass(frozen=True)
class FIFO:
    """First in, first out: the oldest row gives way.

    ``Append(capacity, eviction=FIFO(), sink_tokens=S)`` shows what ``Circular(window=capacity - S,
    sink_tokens=S)`` shows, token by token. It is for what a ring cannot do: pins, and rows dropped
    by hand from the middle.
    """

    policy: ClassVar[str] = "fifo"  # its name, in traces and setups


@dataclass(frozen=True)
class LRU:
    """Least recently used: the row that was not attended to for the longest time gives way.

    A row is used when it is written, by ``cache.touch``, and by ``cache.observe`` where the largest
    of its weights reaches the threshold. Rows used by the same call give way oldest first.

    Parameters
    ----------
    threshold : float, optional
        The weight that makes a row used, above 0 and at most 1. Without it, 1 / rows, rounded to
        the dtype of the weights: what a query gives to each row if it attends to all alike.

    Raises
    ------
    ConfigError
        If `threshold` is out of range.
    """

    policy: ClassVar[str] = "lru"  # its name, in traces and setups
    threshold: float | None = None

    def __post_init__(self) -> None:
        given = self.threshold
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, Real) or not 0 < given <= 1:
            raise ConfigError(f"threshold: expected a number above 0 and at most 1, got {given!r}")
        object.__setattr__(self, "threshold", float(given))


@dataclass(frozen=True)
class HeavyHitter:
    """The row with the smallest sum of observed weights gives way (H2O, arXiv 2306.14048).

    Sums are float64, over all query heads and queries of all ``cache.observe`` calls since the row
    was written; equal ones give way oldest first.

    Parameters
    ----------
    recent_tokens : int, tokens
        The newest tokens, those of the update itself included, stay whatever their sums are, since
        they had no time to gather any. Where nothing else is left, the oldest of them goes first.

    Raises
    ------
    ConfigError
        If `recent_tokens` is not an integer of at least 0.
    """

    policy: ClassVar[str] = "heavy_hitter"  # its name, in traces and setups
    recent_tokens: int

    def __post_init__(self) -> None:
        checked = checked_int("recent_tokens", self.recent_tokens, least=0)
        object.__setattr__(self, "recent_tokens", checked)


class EvictionPolicy:
    """What a policy of your own is told and asked; to be derived from, or imitated.

    The cache makes one deep copy of the object it is given per layer and batch row, so a policy
    knows one sequence in one layer. Rows are named by their positions. A policy that is derived
    from this class needs no method for tellings that do not matter to it; any other has all five
    methods, or is refused with ConfigError.

    Notes
    -----
    Configurations are compared and hashed, and policies with them: any object can be that as it is,
    but a dataclass needs ``eq=False`` (equal to itself alone) or ``frozen=True``.

    What was written and dropped is told when the cache next works on the layer, not in the call
    that wrote it, so an exception in a telling comes up in a call that has not begun. Whatever is
    interrupted (Ctrl-C) or raises is told once more: forget what is forgotten without complaint.
    Threads: called under the layer's lock; a policy must not call its cache.

    To have its caches saved, a policy has two more methods: ``to_bytes()`` says all that it
    remembers, as bytes, and ``from_bytes(data)`` makes a fresh deep copy remember it. What the
    bytes mean is the policy's own affair; they come from a file that anybody may have written.

    Examples
    --------
    TOVA (arXiv 2401.06104): who got least from the newest query, over all heads, gives way.

    >>> import numpy as np
    >>> class TOVA(EvictionPolicy):
    ...     def __init__(self):
    ...         self.weight = {}
    ...     def observed(self, positions, weights):
    ...         newest = np.asarray(weights)[:, -1].mean(axis=0)
    ...         self.weight = dict(zip(map(int, positions), newest, strict=True))
    ...     def victims(self, candidates, count):
    ...         by_weight = sorted(candidates, key=lambda p: self.weight.get(int(p), 1))
    ...         return by_weight[:count]
    >>> from kvring import Append, KVCache
    >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(3, eviction=TOVA()))
    >>> rows = np.zeros((1, 1, 1, 1), np.float32)
    >>> for row_weights in [1], [0.1, 0.9], [0.3, 0.5, 0.2], [0.6, 0.1, 0.3]:
    ...     view = cache.update(0, rows, rows)
    ...     cache.observe(view, np.array([[[row_weights]]], float))
    ...     print(view.positions, view.evicted)
    [0] []
    [0 1] []
    [0 1 2] []
    [0 1 3] [2]
    """

    def written(self, positions: list[int]) -> None:
        """Rows of these positions, ascending, have been stored."""

    def touched(self, positions: list[int]) -> None:
        """These rows were named in ``cache.touch``."""

    def observed(self, positions: NDArray[np.int64], weights: NDArray[Any]) -> None:
        """Attention weights of ``cache.observe``: ``(query_heads, queries, rows)``.

        `positions` says which row each column is, int64 ``(rows,)`` in the order of the view.
        """

    def dropped(self, positions: list[int]) -> None:
        """These rows, ascending, are gone: they were victims, truncated, or evicted by hand."""

    def victims(self, candidates: NDArray[np.int64], count: int) -> Iterable[int]:
        """The positions of `count` rows that give way, in any order.

        Out of `candidates`, int64, ascending: what is resident and neither pinned nor a sink. Too
        few, too many, twice the same or others: the update raises PolicyError, and changes nothing.
        Being asked decides nothing: the update may still be refused, and asked for again.
        """
        raise NotImplementedError


# A policy of one's own need not be derived from EvictionPolicy if it has all the methods.
Eviction: TypeAlias = FIFO | LRU | HeavyHitter | EvictionPolicy

_TOLD = ("written", "touched", "observed", "dropped", "victims")


def checked_eviction(policy: Any) -> Any:
    """`policy` if it is one, or None for none."""
    if policy is None or isinstance(policy, (FIFO, LRU, HeavyHitter)):
        return policy
    if isinstance(policy, type):
        raise ConfigError(f"eviction: expected a policy, got a class; use {policy.__name__}()")
    lacking = [name for name in _TOLD if not callable(getattr(policy, name, None))]
    if lacking:
        raise ConfigError(
            f"eviction: expected FIFO(), LRU(), HeavyHitter(recent_tokens), None, or a policy of"
            f" your own, derived from EvictionPolicy or with all of its methods, got {policy!r}"
            f" without {', '.join(lacking)}"
        )
    try:
        hash(policy)
    except TypeError:
        raise ConfigError(
            f"eviction: expected something hashable, got {policy!r}; give its class no __eq__, or a"
            f" __hash__ as well; a dataclass needs eq=False or frozen=True"
        ) from None
    return policy
