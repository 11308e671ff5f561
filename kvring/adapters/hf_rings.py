"""The rings behind a RingCache: made for the rows that come; no configuration tells for sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..cache import KVCache
from .tensors import dtype_of

if TYPE_CHECKING:
    import torch

    from ..config import Append, Circular

__all__ = ["Widths", "new_rings", "wider_rings", "widths_of"]


class Widths(NamedTuple):
    """Of a layer's rows."""

    kv_heads: int
    head_dim: int
    value_dim: int


def widths_of(keys: torch.Tensor, values: torch.Tensor) -> Widths:
    """What rows ``(batch, kv_heads, tokens, dim)`` need."""
    return Widths(keys.shape[1], keys.shape[3], values.shape[3])


def new_rings(
    present: KVCache | None,
    modes: Sequence[Append | Circular],
    keys: torch.Tensor,
    widths: Widths,
) -> KVCache:
    """Empty rings for a batch like `keys`, or those at hand; all layers are taken for alike."""
    batch, dtype = keys.shape[0], dtype_of(keys)
    if present is not None:
        layers = present.config.layers
        have = Widths(layers[0].kv_heads, layers[0].head_dim, layers[0].value_dim)
        same_rows = (present.batch, present.dtype, have) == (batch, dtype, widths)
        if same_rows and [of.strategy for of in layers] == list(modes):
            return present
    return KVCache(
        layers=len(modes),
        strategy=modes,
        batch=batch,
        dtype=dtype,
        layout="BHSD",
        **widths._asdict(),
    )


def wider_rings(rings: KVCache, place: int, widths: Widths) -> KVCache:
    """The same rings, but for layers from `place` on, which are empty and of other widths."""
    layers = rings.config.layers
    every = [Widths(of.kv_heads, of.head_dim, of.value_dim) for of in layers[:place]]
    every += [widths] * (len(layers) - place)
    wider = KVCache(
        layers=len(layers),
        strategy=[of.strategy for of in layers],
        batch=rings.batch,
        dtype=rings.dtype,
        layout="BHSD",
        kv_heads=[of.kv_heads for of in every],
        head_dim=[of.head_dim for of in every],
        value_dim=[of.value_dim for of in every],
    )
    for layer in range(place):
        _copy_layer(rings, wider, layer)
    return wider


def _copy_layer(rings: KVCache, wider: KVCache, layer: int) -> None:
    """Feed all resident rows again; those that are gone already are zeros and go at once."""
    ring, positions = rings.rings[layer], rings.positions(layer)
    again = []
    for stored in (ring.keys_shown, ring.values_shown):
        shape = (*stored.shape[:2], int(rings.seq_lens[layer, 0]), stored.shape[3])
        rows = np.zeros(shape, stored.dtype)
        rows[:, :, positions] = stored[:, :, rings.slots(layer)]
        again.append(rows)
    wider.update(layer, *again)
