"""What a cache is built from: frozen, checked once, every axis and unit named.

``Append``, ``Circular`` and ``Replace`` say *which mode* a layer works in and hold nothing but
integers; the code that turns them into slots is in :mod:`kvring.strategy`. The reference and the
fast cache are built from the same configuration, and share nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .dtypes import checked_dtype
from .errors import ConfigError
from .eviction import checked_eviction
from .options import checked_int

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from .eviction import Eviction

__all__ = [
    "LAYOUTS",
    "Append",
    "CacheConfig",
    "Circular",
    "LayerConfig",
    "Layout",
    "Mode",
    "Replace",
]

Layout = Literal["BSHD", "BHSD"]
LAYOUTS: tuple[Layout, ...] = ("BSHD", "BHSD")
# Four times the deepest model known; all locks of a cache are held one inside the other.
MOST_LAYERS = 512


@dataclass(frozen=True)
class Append:
    """Every position stays resident; when all slots are full it is an error, or rows give way.

    Without an eviction policy slot = position. With one, the policy chooses as many rows as are
    needed, for each layer and batch row, and the new rows take their slots.

    Parameters
    ----------
    capacity : int, tokens
        Slots of the layer, at least 1. Memory is committed as tokens arrive, so a generous
        capacity costs nothing until it is used.
    eviction : FIFO, LRU, HeavyHitter or a policy of your own, optional
        Who gives way in a full layer: see :mod:`kvring.eviction`.
    sink_tokens : int, tokens, optional
        First positions that never give way; fewer than `capacity`, if there is a policy.

    Raises
    ------
    ConfigError
        If a number is out of range, or `eviction` is no policy.

    Examples
    --------
    >>> Append(capacity=4096)
    Append(capacity=4096)
    >>> from kvring import LRU
    >>> Append(capacity=512, eviction=LRU(), sink_tokens=4)
    Append(capacity=512, eviction=LRU(threshold=None), sink_tokens=4)
    """

    mode: ClassVar[str] = "append"  # its name, in traces and setups
    capacity: int
    eviction: Eviction | None = None
    sink_tokens: int = 0

    def __post_init__(self) -> None:
        for name, least in (("capacity", 1), ("sink_tokens", 0)):
            object.__setattr__(self, name, checked_int(name, getattr(self, name), least=least))
        checked_eviction(self.eviction)
        if self.eviction is not None and self.sink_tokens >= self.capacity:
            raise ConfigError(
                f"sink_tokens: expected fewer than capacity={self.capacity}, got"
                f" {self.sink_tokens}; nothing could give way"
            )

    def __repr__(self) -> str:
        said = [f"capacity={self.capacity}"]
        said += [f"eviction={self.eviction!r}"] * (self.eviction is not None)
        said += [f"sink_tokens={self.sink_tokens}"] * (self.sink_tokens > 0)
        return f"Append({', '.join(said)})"


@dataclass(frozen=True)
class Circular:
    """A sliding window over a ring, with sinks that never leave and rows that can be taken back.

    A query at position p sees the first `sink_tokens` positions and the `window` most recent
    ones, its own included.

    Parameters
    ----------
    window : int, tokens
        How many most recent positions a query sees, its own included; at least 1.
    sink_tokens : int, tokens, optional
        First positions that are never evicted (attention sinks, arXiv 2309.17453).
    rollback_tokens : int, tokens, optional
        How many newest tokens ``truncate`` can drop after the ring has wrapped, and one less than
        the chunk that a full ring can take without assembling its view.

    Raises
    ------
    ConfigError
        If `window` is not an integer of at least 1, or another one not an integer of at least 0.

    Examples
    --------
    >>> Circular(window=4, sink_tokens=1, rollback_tokens=2).capacity
    7
    """

    mode: ClassVar[str] = "circular"  # its name, in traces and setups
    window: int
    sink_tokens: int = 0
    rollback_tokens: int = 0

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("sink_tokens", 0), ("rollback_tokens", 0)):
            object.__setattr__(self, name, checked_int(name, getattr(self, name), least=least))

    @property
    def capacity(self) -> int:
        """Slots of the layer, in tokens: sinks, window and rollback rows together."""
        return self.sink_tokens + self.window + self.rollback_tokens


@dataclass(frozen=True)
class Replace:
    """Every update replaces the whole content, and positions start again at 0.

    Parameters
    ----------
    capacity : int, tokens
        The most rows that one update may bring, at least 1.

    Raises
    ------
    ConfigError
        If `capacity` is not an integer of at least 1.

    Examples
    --------
    >>> Replace(capacity=77)
    Replace(capacity=77)
    """

    mode: ClassVar[str] = "replace"  # its name, in traces and setups
    capacity: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "capacity", checked_int("capacity", self.capacity, least=1))


Mode = Append | Circular | Replace


@dataclass(frozen=True)
class LayerConfig:
    """One layer: its mode and the widths of its rows.

    Parameters
    ----------
    strategy : Append, Circular or Replace
        The mode the layer works in.
    kv_heads : int
        Key/value heads of a row (not query heads).
    head_dim : int
        Elements of a key per head.
    value_dim : int
        Elements of a value per head.
    """

    strategy: Mode
    kv_heads: int
    head_dim: int
    value_dim: int


@dataclass(frozen=True)
class CacheConfig:
    """A whole cache, as :meth:`build` checked it.

    Parameters
    ----------
    layers : tuple of LayerConfig
        One entry per layer.
    batch : int
        Batch rows.
    dtype : numpy.dtype
        Storage dtype of K and V, in native byte order.
    layout : {"BSHD", "BHSD"}
        Axis order of inputs and views: batch, tokens, kv_heads, dim, or heads before tokens.
    """

    layers: tuple[LayerConfig, ...]
    batch: int
    dtype: np.dtype[Any]
    layout: Layout

    @classmethod
    def build(
        cls,
        *,
        layers: int,
        kv_heads: int | Iterable[int],
        head_dim: int | Iterable[int],
        strategy: Mode | Iterable[Mode],
        value_dim: int | Iterable[int] | None = None,
        batch: int = 1,
        dtype: DTypeLike = "float32",
        layout: Layout = "BSHD",
    ) -> CacheConfig:
        """Check every argument and spread what is given once over all layers.

        `kv_heads`, `head_dim`, `value_dim` and `strategy` are one for all layers or one per layer;
        `value_dim` is `head_dim` where it is not given.

        Raises
        ------
        ConfigError
            With the argument's name, what it must be, and what came.
        """
        count = checked_int("layers", layers, least=1)
        if count > MOST_LAYERS:
            raise ConfigError(f"layers: expected at most {MOST_LAYERS}, got {count}")
        kv_head_counts = [
            checked_int("kv_heads", n, least=1) for n in _per_layer("kv_heads", kv_heads, count)
        ]
        key_dims = [
            checked_int("head_dim", n, least=1) for n in _per_layer("head_dim", head_dim, count)
        ]
        value_dims = key_dims
        if value_dim is not None:
            given = _per_layer("value_dim", value_dim, count)
            value_dims = [checked_int("value_dim", n, least=1) for n in given]
        modes = [_checked_mode(mode) for mode in _per_layer("strategy", strategy, count)]
        return cls(
            layers=tuple(map(LayerConfig, modes, kv_head_counts, key_dims, value_dims)),
            batch=checked_int("batch", batch, least=1),
            dtype=checked_dtype(dtype),
            layout=checked_layout(layout),
        )


def checked_layout(layout: object) -> Layout:
    """`layout` if it is one of LAYOUTS."""
    for known in LAYOUTS:
        if isinstance(layout, str) and layout == known:
            return known
    raise ConfigError(
        f"layout: expected 'BSHD' (batch, tokens, kv_heads, dim) or 'BHSD' (batch, kv_heads,"
        f" tokens, dim), got {layout!r}"
    )


def _checked_mode(mode: object) -> Mode:
    if isinstance(mode, (Append, Circular, Replace)):
        return mode
    raise ConfigError(
        f"strategy: expected Append(capacity), Circular(window, ...) or Replace(capacity), got"
        f" {mode!r}"
    )


def _per_layer(name: str, value: Any, layers: int) -> list[Any]:
    """One entry per layer: a list given as such, or one thing repeated."""
    if isinstance(value, (str, bytes)):
        return [value] * layers
    try:
        entries = list(value)
    except TypeError:
        return [value] * layers
    if len(entries) != layers:
        raise ConfigError(
            f"{name}: expected one for all layers or {layers}, one per layer, got {len(entries)}"
        )
    return entries
