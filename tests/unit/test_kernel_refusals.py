"""What kernels refuse is refused whole, and what they take where they look twice."""

from __future__ import annotations

import os

import numpy as np
import pytest

from kvring import kernels
from kvring.compiling import VARIANTS
from kvring.kernels import ADMITTED, DONE, MISSHAPEN, OVERLAPPING, STRIDED, TICKET
from tests.support import Array
from tests.unit.kernel_layer import (
    CAPACITY,
    HEAD_DIM,
    PUT_ROWS,
    WIDTHS,
    Layer,
    Variant,
    assert_moved_as_by_twin,
    each_variant,
    random_words,
    shape,
)


def assert_refused(layer: Layer, keys: Array, values: Array, slots: list[int], code: int) -> None:
    before = layer.picture()
    for variant in VARIANTS:
        if variant[0] == "put_rows" or len(slots) == 1:
            assert layer.put(keys, values, slots, variant) == code, variant
            assert layer.picture() == before, variant


@pytest.mark.parametrize("wrong", ["keys", "values"])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("slots", [[2], [4, 0]])
def test_a_wrong_axis_in_keys_or_values_is_refused(
    layer: Layer, wrong: str, axis: int, more: int, slots: list[int]
) -> None:
    rows = dict(zip(("keys", "values"), layer.new_rows(len(slots)), strict=True))
    wanted = list(rows[wrong].shape)
    wanted[axis] += more
    rows[wrong] = random_words(tuple(wanted), layer.width, seed=5)
    assert_refused(layer, rows["keys"], rows["values"], slots, MISSHAPEN)


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_tokens_than_slots_is_refused(layer: Layer, count: int) -> None:
    assert_refused(layer, *layer.new_rows(count), [3], MISSHAPEN)


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("how", ["negative", "zero", "twice"])
def test_elements_that_are_no_neighbours_are_refused(layer: Layer, wrong: int, how: str) -> None:
    rows = list(layer.new_rows(1))
    plain = rows[wrong]
    if how == "negative":
        rows[wrong] = plain[..., ::-1]
    elif how == "zero":
        rows[wrong] = np.broadcast_to(plain[..., :1], plain.shape)
    else:
        rows[wrong] = np.repeat(plain, 2, axis=3)[..., ::2]
    assert rows[wrong].shape == plain.shape
    assert_refused(layer, *rows, [3], STRIDED)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("of_the_other", [False, True])
def test_rows_that_lie_in_the_storage_are_refused(
    layer: Layer, wrong: int, backwards: bool, of_the_other: bool
) -> None:
    rows = list(layer.new_rows(2))
    storage = (layer.keys, layer.values)[wrong != of_the_other]
    lies_in_it = storage.reshape(-1)[1 : 1 + rows[wrong].size].reshape(rows[wrong].shape)
    rows[wrong] = np.flip(lies_in_it, layer.token_axis) if backwards else lies_in_it
    assert_refused(layer, *rows, [3, 0], OVERLAPPING)


def test_rows_just_before_and_just_behind_the_storage_are_no_overlap(token_axis: int) -> None:
    words = random_words((3, *shape(CAPACITY, HEAD_DIM, token_axis)), 4, seed=7)
    layer = Layer(width=4, token_axis=token_axis)
    layer.keys = words[1]
    layer.block = kernels.new_block(layer.keys, layer.values, token_axis)
    _, values = layer.new_rows(CAPACITY)
    slots = list(range(CAPACITY))
    for neighbour in (words[0], words[2]):
        assert_moved_as_by_twin(layer, neighbour.copy(), values, slots, PUT_ROWS)
        assert layer.put(neighbour, values, slots, PUT_ROWS) == DONE
        np.testing.assert_array_equal(layer.keys, neighbour)


@pytest.mark.skipif(
    os.environ.get("NUMBA_BOUNDSCHECK") != "1" or os.environ.get("NUMBA_DISABLE_JIT") == "1",
    reason="kernels check ranges under NUMBA_BOUNDSCHECK=1 alone; elsewhere this would write"
    " beyond the storage",
)
@each_variant
@pytest.mark.parametrize("width", WIDTHS)
def test_a_slot_beyond_the_storage_raises_under_boundscheck(
    width: int, token_axis: int, variant: Variant
) -> None:
    layer = Layer(width, token_axis)
    layer.block[ADMITTED] = CAPACITY + 1  # or the kernel would refuse the slot by itself
    with pytest.raises(IndexError):
        layer.put(*layer.new_rows(1), [CAPACITY], variant)
    assert layer.block[TICKET] == 0
