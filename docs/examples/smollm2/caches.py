"""What the model asks of a cache, and the rival that kvring is measured against.

kvring's `KVCache` fits the protocol as it is. All shapes are kvring's layout "BHSD":
`(batch, kv_heads, tokens, head_dim)`, where the rows of one KV head lie together in memory, which
makes the products of attention about a quarter faster than with the tokens outside.
"""

from collections.abc import Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from weights import Floats, Hyperparameters

from kvring import Append, Circular, KVCache

Order = Literal["temporal", "physical"]


class View(Protocol):
    """What an update returns: unpacks to keys and values, and knows who may attend to what."""

    def __iter__(self) -> Iterator[Floats]:
        """Yield keys, then values, both `(1, kv_heads, rows, head_dim)`."""

    def mask(self) -> NDArray[np.bool_]:
        """Return `(tokens, rows)`, True where the new token may attend to the row."""


class Cache(Protocol):
    """The keys and values of one sequence, all layers."""

    @property
    def seq_len(self) -> int:
        """The position of the next token; during a step, of the first token in flight."""

    @property
    def nbytes(self) -> int:
        """Bytes that the cache takes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the cache stores."""

    def update(self, layer: int, keys: Any, values: Any, *, order: Order) -> View:
        """Store `(1, kv_heads, tokens, head_dim)` of `dtype`; return what the new tokens need."""


class CausalView:
    """Rows in the order of their positions, of which the last ones are new.

    Parameters
    ----------
    keys, values : ndarray
        `(1, kv_heads, rows, head_dim)`.
    new_tokens : int
        How many of the rows came with this update.
    """

    def __init__(self, keys: Floats, values: Floats, new_tokens: int) -> None:
        self._pair = keys, values
        self._new_tokens = new_tokens

    def __iter__(self) -> Iterator[Floats]:
        return iter(self._pair)

    def mask(self) -> NDArray[np.bool_]:
        """Return `(tokens, rows)`: every token sees itself and all before it."""
        rows = self._pair[0].shape[2]
        return np.tri(self._new_tokens, rows, rows - self._new_tokens, dtype=bool)


class ConcatenatingCache:
    """The cache everybody writes first: on every token, all rows are copied to a larger array.

    Parameters
    ----------
    shape : Hyperparameters
        The model's architecture.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shape: Hyperparameters) -> None:
        empty = np.empty((1, shape.kv_heads, 0, shape.head_dim), np.float32)
        self._keys = [empty] * shape.layers
        self._values = [empty] * shape.layers

    @property
    def seq_len(self) -> int:
        """The position of the next token. The last layer is the last to be updated."""
        return self._keys[-1].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(array.nbytes for array in self._keys + self._values)

    def rows(self, layer: int) -> tuple[Floats, Floats]:
        """Return all keys and values of a layer, `(1, kv_heads, tokens, head_dim)`."""
        return self._keys[layer], self._values[layer]

    def copy(self) -> "ConcatenatingCache":
        """Return a cache of the same rows. They are never written to, so both can hold them."""
        twin = object.__new__(ConcatenatingCache)
        twin._keys, twin._values = list(self._keys), list(self._values)
        return twin

    def update(self, layer: int, keys: Floats, values: Floats, *, order: Order) -> CausalView:
        """Append rows; `order` makes no difference, slots and positions are the same here."""
        self._keys[layer] = np.concatenate([self._keys[layer], keys], axis=2)
        self._values[layer] = np.concatenate([self._values[layer], values], axis=2)
        return CausalView(self._keys[layer], self._values[layer], keys.shape[2])


def make_cache(
    shape: Hyperparameters, strategy: Append | Circular, dtype: str = "float32"
) -> KVCache:
    """Return a kvring cache for this model."""
    return KVCache(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        dtype=dtype,
        layout="BHSD",
        strategy=strategy,
    )


def fill(cache: KVCache, source: ConcatenatingCache) -> None:
    """Give an empty cache the rows of another, rounded to what it stores."""
    for layer in range(cache.layers):
        keys, values = (array.astype(cache.dtype) for array in source.rows(layer))
        cache.update(layer, keys, values)
