"""What one layer of a pooled cache may commit: slots admitted, pages counted, pages given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import kernels
from ..memory import give_back, mapping_of
from .pages import Planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import CacheConfig, LayerConfig
    from ..ring import RingBuffer

__all__ = ["Committed", "alike_layers", "nbytes_in_new_memory", "nbytes_of_all"]


class Committed:
    """The pages of K and V of one layer.

    Kernels refuse to write behind the slots that the layer's block admits. At first there are none.

    Parameters
    ----------
    ring : RingBuffer
        Of the layer. Not kept.

    Attributes
    ----------
    slots : int, tokens
        Slots admitted, from the first one on. Their pages count, whether they were written or not.

    Notes
    -----
    Threads: slots are admitted and taken back by whoever holds the pool's lock; taken back only
    while the layer's own lock is held too, for then no kernel writes to them.
    """

    def __init__(self, ring: RingBuffer) -> None:
        self.capacity = ring.capacity
        self.slots = 0
        self._block = ring._block.data  # one store in C; through NumPy it takes three times as long
        self._block[kernels.ADMITTED] = 0
        stored = mapping_of(ring._keys), mapping_of(ring._values)
        self._both = list(zip(planes_of(ring, ring.batch, ring.capacity), stored, strict=True))

    def is_of(self, ring: RingBuffer) -> bool:
        """Whether these are the pages of the memory that a ring has now."""
        return self._both[0][1] is mapping_of(ring._keys)

    def nbytes_of(self, slots: int) -> int:
        """Bytes of the pages that hold the first `slots` rows."""
        return sum(planes.page_count(slots) * planes.page_nbytes for planes, _ in self._both)

    def filled_up(self, slots: int) -> int:
        """So many slots, and those that fit in the same pages."""
        return max(slots, min(planes.slots_within_pages_of(slots) for planes, _ in self._both))

    def open(self) -> None:
        """Let kernels write to the slots admitted."""
        self._block[kernels.ADMITTED] = self.slots

    def shut(self) -> None:
        """Let kernels write to none, whatever is admitted."""
        self._block[kernels.ADMITTED] = 0

    def admit(self, slots: int) -> None:
        """Admit the first `slots`, whose pages have been counted, and let kernels write to them."""
        self.slots = slots
        self.open()

    def give_back_behind(self, slots: int) -> None:
        """Take back all but the first `slots` and what fits in their pages; the layer is held."""
        stays = self.filled_up(slots)
        if self._block[kernels.ADMITTED] > stays:
            self._block[kernels.ADMITTED] = stays
        for planes, mapping in self._both:
            for first, stop in planes.stretches_behind(stays):
                give_back(mapping, first * planes.page_nbytes, stop * planes.page_nbytes)
        self.slots = min(self.slots, stays)


def nbytes_of_all(layers: Sequence[Committed], alike: list[int], slots: list[int]) -> int:
    """Bytes of the pages that hold so many rows of each layer; layers alike are reckoned once."""
    known: dict[tuple[int, int], int] = {}
    total = 0
    for layer, like, count in zip(layers, alike, slots, strict=True):
        if (like, count) not in known:
            known[like, count] = layer.nbytes_of(count)
        total += known[like, count]
    return total


def planes_of(ring: RingBuffer, batch: int, capacity: int) -> tuple[Planes, Planes]:
    """The planes of K and V of a layer with so many batch rows and slots."""
    slots_first = ring.token_axis == 1
    outer, in_a_row = (batch, ring.kv_heads) if slots_first else (batch * ring.kv_heads, 1)
    row_nbytes = in_a_row * ring.dtype.itemsize
    return (
        Planes(outer, capacity, ring.head_dim * row_nbytes),
        Planes(outer, capacity, ring.value_dim * row_nbytes),
    )


def alike_layers(config: CacheConfig) -> list[int]:
    """For each layer the first one that takes the same pages for the same slots."""
    first: dict[LayerConfig, int] = {}
    return [first.setdefault(of, number) for number, of in enumerate(config.layers)]


def nbytes_in_new_memory(ring: RingBuffer, batch: int, capacity: int, slots: int) -> int:
    """Bytes of the pages that the first `slots` of such a layer would commit."""
    both = planes_of(ring, batch, capacity)
    return sum(planes.page_count(slots) * planes.page_nbytes for planes in both)
