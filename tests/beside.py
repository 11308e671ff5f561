"""A cache and the reference beside it, batch row by batch row: whatever batch rows go through.

The name of a token in a batch row is the bytes of its K and V there. Looked at are counters,
resident rows with their positions in slots of their own, and what views show and mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kvring import KVCache, KVRingError
from kvring.reference import ReferenceCache
from tests.support import Array, make_rows, token_axis

POISON = 0xFF


class Beside:
    """Both, and how they are fed, changed and compared.

    Parameters
    ----------
    strategy : Mode or list of Mode
    arguments
        Of `KVCache`.
    """

    def __init__(self, strategy: Any, **arguments: Any) -> None:
        defaults: dict[str, Any] = {"layers": 2, "kv_heads": 2, "head_dim": 3, "value_dim": 2}
        self.cache = KVCache(strategy=strategy, **(defaults | arguments))
        self.reference = ReferenceCache(self.cache.config)
        self.given = 0

    @property
    def layers(self) -> range:
        return range(self.cache.layers)

    def feed(self, tokens: int, *, layer: int | None = None, **options: Any) -> None:
        """New tokens for one layer or all of them, one update each; all batch rows differ."""
        for number in self.layers if layer is None else [layer]:
            keys, values = self.rows(number, tokens)
            names = names_of(keys, values, self.cache.layout)
            counts = options.get("token_counts", [tokens] * self.cache.batch)
            padding = options.get("padding", "right")
            if self._refused(
                lambda n=number, r=names, c=counts, p=padding: self.reference.update(  # type: ignore[misc]
                    n, r, token_counts=c, padding=p
                ),
                lambda n=number, k=keys, v=values: self.cache.update(n, k, v, **options),  # type: ignore[misc]
            ):
                return

    def rows(self, layer: int, tokens: int) -> tuple[Array, Array]:
        """K and V that nobody has seen before."""
        self.given += 1
        return make_rows(self.cache.config, layer, 0, tokens, history=self.given)

    def do(self, call: Callable[[Any], Any]) -> None:
        """The same call on both; refused by one, it must be refused by the other, with that."""
        self._refused(lambda: call(self.reference), lambda: call(self.cache))

    def _refused(self, on_reference: Callable[[], Any], on_cache: Callable[[], Any]) -> bool:
        refusals = []
        for call in (on_reference, on_cache):
            try:
                call()
            except KVRingError as error:
                refusals.append(type(error))
        assert refusals in ([], refusals[:1] * 2), f"refused by one alone: {refusals}"
        return bool(refusals)

    def compare(self) -> None:
        """Everything that can be seen is as the reference says, and nothing else is looked at."""
        self.cache.check()
        poison_slots(self.cache)
        assert_same(self.cache, self.reference)

    def copy(self) -> Beside:
        """Both again, to go on apart."""
        twin = object.__new__(Beside)
        twin.cache, twin.reference = self.cache.copy(), self.reference.copy()  # type: ignore[assignment]
        twin.given = self.given + 1000
        return twin


def names_of(keys: Array, values: Array, layout: Any) -> list[list[bytes]]:
    """The name of each token, one list per batch row."""
    axis = token_axis(layout) - 1
    return [
        [
            np.take(k, t, axis=axis).tobytes() + np.take(v, t, axis=axis).tobytes()
            for t in range(k.shape[axis])
        ]
        for k, v in zip(keys, values, strict=True)
    ]


def of_row(array: Array, batch_row: int, axes: int) -> Array:
    """What an array says of one batch row; without an axis for them it says it of all."""
    return array if array.ndim == axes else array[batch_row]


def assert_same(cache: KVCache, reference: ReferenceCache) -> None:
    """Counters, resident rows, and what is seen of every batch row of every layer."""
    assert cache.config == reference.config
    assert cache.seq_lens.tolist() == reference.seq_lens
    assert cache.lengths.tolist() == reference.lengths
    assert (cache.length, cache.room) == (reference.length, reference.room)
    for layer in range(cache.layers):
        ring = cache.rings[layer]
        stored = names_of(ring._keys, ring._values, cache.layout)
        for batch_row in range(cache.batch):
            positions, slots = resident(cache, layer, batch_row)
            assert positions == reference.positions(layer, batch_row)
            assert len(set(slots)) == len(slots)
            held = [stored[batch_row][slot] for slot in slots]
            assert held == reference.rows(layer, batch_row)
        for order in ("temporal", "physical"):
            assert_sees(cache.read(layer, order=order), reference.read(layer), cache.batch)  # type: ignore[arg-type]


def resident(cache: KVCache, layer: int, batch_row: int) -> tuple[list[int], list[int]]:
    """Positions and slots of the resident rows of one batch row, oldest first."""
    positions = of_row(cache.positions(layer), batch_row, 1)
    slots = of_row(cache.slots(layer), batch_row, 1)
    live = positions >= 0
    return positions[live].tolist(), slots[live].tolist()


def assert_sees(view: Any, seen: Any, batch: int) -> None:
    """Each query of each batch row sees the rows that the reference says, and no others."""
    keys, values = view
    names = names_of(keys, values, view.layout)
    for batch_row in range(batch):
        positions = of_row(view.positions, batch_row, 1)
        mask = of_row(view.mask(), batch_row, 2)
        visible = [
            sorted((int(positions[row]), names[batch_row][row]) for row in np.flatnonzero(query))
            for query in mask
        ]
        expected = [sorted(query) for query in seen.batch_row(batch_row).visible]
        assert [query for query in visible if query] == [query for query in expected if query]


def poison_slots(cache: KVCache) -> None:
    """Fill every slot that holds no row, in each batch row by itself, with a byte of NaNs."""
    for layer, ring in enumerate(cache.rings):
        for batch_row in range(cache.batch):
            unused = np.ones(ring.capacity, bool)
            unused[resident(cache, layer, batch_row)[1]] = False
            for array in (ring._keys, ring._values):
                words = array.view(f"u{array.dtype.itemsize}")[batch_row]
                slots = np.moveaxis(words, ring.token_axis - 1, 0)
                slots[unused] = np.iinfo(words.dtype).max
