'''What a rival is: a KV cache of all layers behind two or three methods.

A factory takes a `Setup` and returns such a cache; a class whose constructor takes one will do.
This one is complete, and may be copied as a start (`my_cache.py`)::

    import numpy as np
    from kvring.bench import UnsupportedError


    class MyCache:
        """Concatenates on every token."""

        def __init__(self, setup):
            if setup.window is not None:
                raise UnsupportedError("keeps every row")
            empty = np.empty((1, 0, setup.kv_heads, setup.head_dim), setup.dtype)
            self.pairs = [(empty, empty)] * setup.layers

        def update(self, layer, keys, values):
            old_keys, old_values = self.pairs[layer]
            self.pairs[layer] = (
                np.concatenate([old_keys, keys], axis=1),
                np.concatenate([old_values, values], axis=1),
            )
            return self.pairs[layer]

        def read(self, layer):
            return self.pairs[layer]

and is measured by ``pytest --benchmark-only --kvring-rival my_cache:MyCache``.
'''

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

__all__ = ["Factory", "Rival", "Setup", "UnsupportedError", "load"]


class UnsupportedError(Exception):
    """Raised by a factory for what its cache cannot do, with the reason: the case is skipped."""


@dataclass(frozen=True)
class Setup:
    """What a rival is built for.

    Parameters
    ----------
    layers, kv_heads, head_dim : int
        Axes; the batch is 1.
    dtype : str
        NumPy's name of the storage dtype.
    capacity : int, tokens
        The most rows that will be resident.
    window : int, optional
        How many of the newest rows stay; None: all.
    """

    layers: int
    kv_heads: int
    head_dim: int
    dtype: str
    capacity: int
    window: int | None = None


class Rival(Protocol):
    """A KV cache of all layers. Two methods are enough; the others are used where they exist.

    Notes
    -----
    ``layout``: "BSHD" if there is none, which means arrays ``(1, tokens, kv_heads, head_dim)``, or
    "BHSD", which means ``(1, kv_heads, tokens, head_dim)``.

    ``given(array)``: a NumPy array of new rows as what `update` takes, such as a tensor. Untimed.

    ``shown(kept)``: one of the two that `update` or `read` returned, as a NumPy array in `layout`;
    untimed. Rows in any order.

    ``truncate(seq_len)``: drop the newest tokens of all layers, so that `seq_len` remain. Without
    it the cases that need it are skipped.

    ``close()``: give back threads and settings. Called when the case is over.

    An update of lazy arrays waits for its result, as attention would.
    """

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any] | None:
        """Store new rows; return keys and values as attention would be given them, or None."""

    def read(self, layer: int) -> tuple[Any, Any]:
        """All resident rows, in any order, without those of the window's past."""


Factory: TypeAlias = Callable[[Setup], Any]


def load(name: str) -> Factory:
    """The factory called ``package.module:factory``.

    Raises
    ------
    ValueError
        If the name has another form, or there is no such module or nothing callable of that name
        in it; the message says which.

    Examples
    --------
    >>> load("kvring.bench.rivals.concatenate:Concatenating").__name__
    'Concatenating'
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"expected package.module:factory, got {name!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise ValueError(f"{name!r}: there is no module {error.name!r}") from None
        raise
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ValueError(f"{name!r}: {module_name} has nothing callable named {attribute!r}")
    return found  # type: ignore[no-any-return]
