"""A layer's storage for tests of kernels, their three-line twin, and their variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kvring import compiling, kernels
from kvring.compiling import VARIANTS
from kvring.kernels import DONE
from tests.support import Array

BATCH, CAPACITY, KV_HEADS, HEAD_DIM, VALUE_DIM = 2, 5, 3, 4, 3
WIDTHS = (1, 2, 4, 8)
TOKEN_AXES = (1, 2)  # layouts BSHD and BHSD
TICKET_GIVEN = 77
Variant = tuple[str, bool]  # a kernel's name, and whether it releases the GIL


def shape(count: int, dim: int, token_axis: int) -> tuple[int, ...]:
    axes = [BATCH, KV_HEADS, dim]
    axes.insert(token_axis, count)
    return tuple(axes)


def random_words(wanted: tuple[int, ...], width: int, seed: int) -> Array:
    nbytes = int(np.prod(wanted)) * width
    random_bytes = np.random.default_rng(seed).bytes(nbytes)
    return np.frombuffer(random_bytes, dtype=f"u{width}").reshape(wanted).copy()


@dataclass
class Layer:
    """Storage full of random words, its block, and kernels to call on both."""

    width: int
    token_axis: int

    def __post_init__(self) -> None:
        self.keys = random_words(shape(CAPACITY, HEAD_DIM, self.token_axis), self.width, seed=1)
        self.values = random_words(shape(CAPACITY, VALUE_DIM, self.token_axis), self.width, seed=2)
        self.block = kernels.new_block(self.keys, self.values, self.token_axis)

    def new_rows(self, count: int) -> tuple[Array, Array]:
        """K and V of `count` tokens: other random words than those stored."""
        keys = random_words(shape(count, HEAD_DIM, self.token_axis), self.width, seed=3)
        values = random_words(shape(count, VALUE_DIM, self.token_axis), self.width, seed=4)
        return keys, values

    def put(self, keys: Array, values: Array, slots: list[int], variant: Variant) -> int:
        """Call a kernel as a ring would: ticket 77, 3 rows evicted."""
        name, releases_gil = variant
        kernel = compiling.kernel(name, self.width, releases_gil=releases_gil)
        last: tuple[Any, ...] = (np.array(slots, dtype=np.int64),)
        if name == "put_row":
            last = (slots[0],)
        return kernel(self.block, keys, values, TICKET_GIVEN, 3, *last)

    def picture(self) -> list[bytes]:
        return [array.tobytes() for array in (self.keys, self.values, self.block)]


def twin(target: Array, source: Array, slots: list[int], token_axis: int) -> Array:
    """`target` after ``target[slots[t]] = source[t]`` along the token axis, where slots[t] >= 0."""
    result, kept = target.copy(), np.array(slots) >= 0
    rows = np.moveaxis(source, token_axis, 0)[kept]
    np.moveaxis(result, token_axis, 0)[np.array(slots)[kept]] = rows
    return result


def assert_moved_as_by_twin(
    layer: Layer, keys: Array, values: Array, slots: list[int], variant: Variant
) -> None:
    expected_keys = twin(layer.keys, keys, slots, layer.token_axis)
    expected_values = twin(layer.values, values, slots, layer.token_axis)
    assert layer.put(keys, values, slots, variant) == DONE
    np.testing.assert_array_equal(layer.keys, expected_keys)
    np.testing.assert_array_equal(layer.values, expected_values)


PUT_ROW, PUT_ROWS, _ = VARIANTS
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=["one", "many", "many, no GIL"])
many_variants = pytest.mark.parametrize("variant", VARIANTS[1:], ids=["many", "many, no GIL"])
