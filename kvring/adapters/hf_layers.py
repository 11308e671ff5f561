"""RingLayer: one layer of a RingCache, for code of transformers that looks into `cache.layers`."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from transformers.cache_utils import CacheLayerMixin

from ..errors import KVRingError

if TYPE_CHECKING:
    import torch

    from .hf_config import LayerKind
    from .transformers import RingCache  # it makes its layers, they know its verbs

__all__ = ["RingLayer"]


class RingLayer(CacheLayerMixin):  # type: ignore[misc]
    """A window on one layer; it holds nothing, and lives as long as its cache.

    Parameters
    ----------
    cache : RingCache
    number : int
        Which layer of the model.
    kind : LayerKind
    """

    is_compileable = False
    is_croppable = True

    def __init__(self, cache: RingCache, number: int, kind: LayerKind) -> None:
        self._cache = weakref.ref(cache)
        self._number = number
        self.is_sliding = kind.window is not None

    @property
    def is_initialized(self) -> bool:
        """Whether the cache knows its batch size, so after the first update."""
        return self._of().rings is not None

    @property
    def keys(self) -> torch.Tensor | None:
        """Keys ``(batch, kv_heads, rows, head_dim)`` that the newest token sees, oldest first."""
        return self._of().rows(self._number)[0] if self.is_initialized else None

    @property
    def values(self) -> torch.Tensor | None:
        """Values, likewise."""
        return self._of().rows(self._number)[1] if self.is_initialized else None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Reserve memory for rows like these."""
        self._of().prepare(key_states, value_states)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `RingCache.update`."""
        return self._of().update(key_states, value_states, self._number)

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """As `RingCache.get_mask_sizes`."""
        return self._of().get_mask_sizes(query_length, self._number)

    def get_seq_length(self) -> int:
        """Tokens seen."""
        return self._of().get_seq_length(self._number)

    def get_max_length(self) -> int:
        """Rows that a query of this layer can see at most."""
        return self._of().get_max_length(self._number)

    get_max_cache_shape = get_max_length  # what releases up to 5.15 call it

    def crop(self, *_: Any) -> NoReturn:
        """Not on a layer alone."""
        raise KVRingError(
            "the layers of a RingCache change together; call crop, reset, reorder_cache,"
            " batch_repeat_interleave and batch_select_indices of the cache itself"
        )

    reset = reorder_cache = batch_repeat_interleave = batch_select_indices = crop
    offload = prefetch = crop

    def _of(self) -> RingCache:
        cache = self._cache()
        if cache is None:
            raise KVRingError("the RingCache of this layer is gone; keep the cache itself")
        return cache
