"""Kernels: each against a three-line NumPy twin. Refusals: ``test_kernel_refusals.py``."""

from __future__ import annotations

import numpy as np
import pytest

from kvring import compiling
from kvring.compiling import APART, VARIANTS
from kvring.kernels import DONE, MISSHAPEN, OVERLAPPING, STRIDED
from tests.support import Array
from tests.unit.kernel_layer import (
    BATCH,
    CAPACITY,
    PUT_ROW,
    PUT_ROWS,
    TICKET_GIVEN,
    WIDTHS,
    Layer,
    Variant,
    assert_moved_as_by_twin,
    each_variant,
    many_variants,
    twin,
)

# What moves


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("slot", [0, 3, CAPACITY - 1])
def test_put_row_moves_what_its_twin_moves(width: int, token_axis: int, slot: int) -> None:
    layer = Layer(width, token_axis)
    assert_moved_as_by_twin(layer, *layer.new_rows(1), [slot], PUT_ROW)


@many_variants
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("slots", [[2], [0, 1, 2], [4, 0, 1], [-1, 3, -1, 0], [-1, -1], [3, 1, 4]])
def test_put_rows_moves_what_its_twin_moves(
    width: int, token_axis: int, slots: list[int], variant: Variant
) -> None:
    layer = Layer(width, token_axis)
    assert_moved_as_by_twin(layer, *layer.new_rows(len(slots)), slots, variant)


@pytest.mark.parametrize("seed", range(5))
def test_put_rows_moves_what_its_twin_moves_to_random_slots(token_axis: int, seed: int) -> None:
    layer = Layer(2, token_axis)
    random = np.random.default_rng(seed)
    slots = random.permutation(CAPACITY)
    slots[random.random(CAPACITY) < 0.4] = -1
    for variant in VARIANTS[1:]:
        assert_moved_as_by_twin(layer, *layer.new_rows(CAPACITY), slots.tolist(), variant)


def apart_twin(target: Array, source: Array, slots: Array, token_axis: int) -> Array:
    """`target` after ``target[b, slots[b, t]] = source[b, t]``, where slots[b, t] >= 0."""
    one = [twin(target[[b]], source[[b]], row.tolist(), token_axis) for b, row in enumerate(slots)]
    return np.concatenate(one)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("variant", APART, ids=["keeps the GIL", "no GIL"])
@pytest.mark.parametrize("seed", range(3))
def test_put_batch_rows_moves_what_its_twin_moves(
    width: int, token_axis: int, variant: Variant, seed: int
) -> None:
    random = np.random.default_rng(seed)
    for count in (1, 3, CAPACITY):
        layer = Layer(width, token_axis)
        slots = np.stack([random.permutation(CAPACITY)[:count] for _ in range(BATCH)])
        slots[random.random(slots.shape) < 0.2 * seed] = -1
        keys, values = layer.new_rows(count)
        expected = [
            apart_twin(target, rows, slots, token_axis)
            for target, rows in ((layer.keys, keys), (layer.values, values))
        ]
        before = layer.block.tolist()
        kernel = compiling.kernel(variant[0], width, releases_gil=variant[1])
        assert kernel(layer.block, keys, values, TICKET_GIVEN, 3, slots, 6, 9) == DONE
        np.testing.assert_array_equal(layer.keys, expected[0])
        np.testing.assert_array_equal(layer.values, expected[1])
        written = int((slots >= 0).sum())
        assert layer.block.tolist() == [TICKET_GIVEN, 9, written, 3, 6, *before[5:]]


def test_put_batch_rows_refuses_whole_what_put_rows_refuses(layer: Layer) -> None:
    kernel = compiling.kernel("put_batch_rows", layer.width)
    keys, values = layer.new_rows(2)
    inside = layer.keys.reshape(-1)[: keys.size].reshape(keys.shape)
    every_other = np.repeat(values, 2, axis=3)[..., ::2]
    before = layer.picture()
    slots = np.array([[0, 1]] * BATCH)
    for wrong_keys, wrong_values, code in (
        (keys[:1], values, MISSHAPEN),
        (keys, every_other, STRIDED),
        (inside, values, OVERLAPPING),
    ):
        assert kernel(layer.block, wrong_keys, wrong_values, TICKET_GIVEN, 3, slots, 6, 4) == code
        assert layer.picture() == before


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "complex64", "float64", "int64"])
def test_kernels_take_arrays_of_any_dtype_of_their_width(token_axis: int, dtype: str) -> None:
    layer = Layer(np.dtype(dtype).itemsize, token_axis)
    keys, values = layer.new_rows(2)
    expected = twin(layer.keys, keys, [4, 2], token_axis)
    assert layer.put(keys.view(dtype), values.view(dtype), [4, 2], PUT_ROWS) == DONE
    np.testing.assert_array_equal(layer.keys, expected)


# What is counted: ticket, tokens, rows written, evicted and assembled are the block's first words.
# Kernels whose batch rows share slots are told of one batch row, and count for all of them.


def test_put_row_counts_one_token_and_leaves_the_ticket(layer: Layer) -> None:
    before = layer.block.tolist()
    layer.put(*layer.new_rows(1), [2], PUT_ROW)
    assert layer.block.tolist() == [TICKET_GIVEN, *(BATCH * n for n in (1, 1, 3, 0)), *before[5:]]


@many_variants
def test_put_rows_counts_tokens_and_rows_apart(layer: Layer, variant: Variant) -> None:
    before = layer.block.tolist()
    for _ in range(2):
        layer.put(*layer.new_rows(4), [-1, 3, -1, 0], variant)
    assert layer.block.tolist() == [TICKET_GIVEN, *(BATCH * n for n in (8, 4, 6, 0)), *before[5:]]


def test_a_block_describes_the_storage_and_admits_all_of_it(layer: Layer) -> None:
    assert layer.block.dtype == np.int64
    keys_at, values_at = layer.keys.ctypes.data, layer.values.ctypes.data
    expected = [0] * 5 + [layer.token_axis, keys_at, *layer.keys.shape]
    expected += [values_at, *layer.values.shape, layer.keys.shape[layer.token_axis]]
    assert layer.block.tolist() == expected


# Strides

STRANGE = ("negative strides", "every other row", "part of an array", "other layout", "read-only")


def in_strange_memory(rows: Array, how: str, token_axis: int) -> Array:
    """The same rows in memory that is not plain."""
    if how == "negative strides":
        return np.flip(np.flip(rows, (0, 1, 2)).copy(), (0, 1, 2))
    if how == "every other row":
        every_other = (slice(None),) * token_axis + (slice(0, None, 2),)
        return np.repeat(rows, 2, axis=token_axis)[every_other]
    if how == "part of an array":
        return np.pad(rows, ((1, 1), (2, 0), (0, 2), (1, 3)))[1:-1, 2:, :-2, 1:-3]
    if how == "other layout":
        return np.swapaxes(np.swapaxes(rows, 1, 2).copy(), 1, 2)
    assert how == "read-only"
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


@pytest.mark.parametrize("how", STRANGE)
@each_variant
def test_rows_in_strange_memory_move_like_plain_ones(
    layer: Layer, how: str, variant: Variant
) -> None:
    slots = [3] if variant == PUT_ROW else [4, 0, 1]
    keys, values = layer.new_rows(len(slots))
    strange = [in_strange_memory(rows, how, layer.token_axis) for rows in (keys, values)]
    np.testing.assert_array_equal(strange[0], keys)
    assert_moved_as_by_twin(layer, *strange, slots, variant)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_row_repeated_by_a_zero_stride_moves_as_often_as_it_is_shown(
    layer: Layer, axis: int
) -> None:
    slots = [4, 0, 1]
    keys, values = (
        np.broadcast_to(rows.take([0], axis), rows.shape) for rows in layer.new_rows(len(slots))
    )
    assert keys.strides[axis] == values.strides[axis] == 0
    assert_moved_as_by_twin(layer, keys, values, slots, PUT_ROWS)


# What is refused. Nothing is written: not K, not V, not the block
