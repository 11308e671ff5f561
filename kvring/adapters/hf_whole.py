"""What concerns all layers of a RingCache at once, in the words of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import Cache, cache_utils

from ..rows import states_of
from .hf_config import with_rollback
from .hf_layers import RingLayer

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..cache import KVCache
    from ..config import Append, Circular
    from .hf_config import LayerKind

__all__ = ["DRAFT_TOKENS", "MOST_DRAFT_TOKENS", "WholeRingCache"]

# Drafts of an assistant begin with 20 tokens, and get longer while all of them are accepted.
DRAFT_TOKENS = 128
# More than this at a time are a prompt, and nobody takes them back.
MOST_DRAFT_TOKENS = 1024
SharedLayer = getattr(cache_utils, "DummyLayer", None)  # earlier releases end before such layers


class WholeRingCache(Cache):  # type: ignore[misc]
    """The verbs of a RingCache that change every layer, and what it says of itself.

    Parameters
    ----------
    kinds : list of LayerKind
        The model's layers.
    modes : list of Append or Circular
        Those of the layers that have rows.
    """

    def __init__(self, kinds: Sequence[LayerKind], modes: Sequence[Append | Circular]) -> None:
        self._kinds = kinds
        self._modes = modes
        places = iter(range(len(modes)))
        # Where each of the model's layers is among the rings; one without rows is nowhere.
        self._places = [next(places) if kind.is_stored else -1 for kind in kinds]
        self.rings: KVCache | None = None
        self._is_new = True  # the next update may bring another batch or dtype
        self._drafted_from: int | None = None  # the position of the first draft, if any may come
        super().__init__(layers=self._new_layers())

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that a layer has seen."""
        if self.rings is None:
            return 0
        state = self.rings.rings[max(self._places[layer_idx], 0)].state
        return states_of(state)[0].seq_len  # batch rows are alike: padding is stored

    def get_max_length(self, layer_idx: int = 0) -> int:
        """Slots of a layer, less those for rolling back."""
        mode = self._modes[max(self._places[layer_idx], 0)]
        return mode.capacity - getattr(mode, "rollback_tokens", 0)

    get_max_cache_shape = get_max_length  # its name in releases up to 5.15

    def crop(self, tokens_to_remove: int) -> None:
        """Drop the newest tokens of all layers.

        Parameters
        ----------
        tokens_to_remove : int, tokens
            Negative: how many to drop. Positive: how many to keep, as in older releases. Zero
            changes nothing.

        Raises
        ------
        EvictedError
            If a layer with a window has wrapped, and would miss a row of its window: more than
            `rollback_tokens` back. Nothing is dropped.
        """
        count, seen = int(tokens_to_remove), self.get_seq_length()
        left = count if count > 0 else max(seen + count, 0)
        if self.rings is not None and left < seen:
            self.rings.truncate(left)
        if self._drafted_from is not None:
            self._drafted_from = self.get_seq_length()

    def activate_past_recording(self) -> None:
        """From now on, what has come since the last `crop` can be taken back by the next one."""
        self._drafted_from = self.get_seq_length()
        self._make_rollback(DRAFT_TOKENS)

    def reset(self) -> None:
        """Forget everything; the next update may have another batch size and dtype."""
        if self.rings is not None:
            self.rings.reset()
        self._is_new = True

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Batch row b becomes what ``beam_idx[b]`` was; only rows that change are copied."""
        if self.rings is not None:
            self.rings.reorder(beam_idx.tolist())

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each batch row becomes `repeats` neighbours."""
        if self.rings is not None:
            self.rings.repeat(int(repeats))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the batch rows of these numbers, or where a mask is true."""
        if self.rings is not None:
            self.rings.select(torch.arange(self.batch_size)[indices].tolist())

    @property
    def batch_size(self) -> int:
        """Batch rows; -1 before the first update."""
        return -1 if self.rings is None else self.rings.batch

    @property
    def is_sliding(self) -> list[bool]:
        """Which layers have a window in the model's own masks."""
        return [kind.window is not None for kind in self._kinds]

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        if self.rings is not None:
            twin.rings = self.rings.copy()
        twin.layers = twin._new_layers()
        return twin

    def __deepcopy__(self, _: object) -> Self:
        return self.__copy__()  # two caches on the same rings would each believe to be alone

    def _make_rollback(self, tokens: int) -> None:
        """Room to take so many tokens back, in layers with a window."""
        modes = [with_rollback(mode, tokens) for mode in self._modes]
        if modes != self._modes and self.rings is not None:
            self.rings.resize(rollback_tokens=tokens)
        self._modes = modes

    def _new_layers(self) -> list[Any]:
        layers: list[Any] = []
        for number, kind in enumerate(self._kinds):
            if kind.is_stored:
                layers.append(RingLayer(self, number, kind))
            elif SharedLayer is not None:
                layers.append(SharedLayer())
        return layers
