"""Kernels: each against a three-line NumPy twin, and what they refuse is refused whole."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kvring import compiling, kernels
from kvring.compiling import VARIANTS
from kvring.kernels import DONE, MISSHAPEN, OVERLAPPING, STRIDED, TICKET
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
        """Call a kernel as a ring would: ticket 77, 3 rows evicted, 6 assembled."""
        name, releases_gil = variant
        kernel = compiling.kernel(name, self.width, releases_gil=releases_gil)
        last: tuple[Any, ...] = (np.array(slots, dtype=np.int64), 6)
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


@pytest.fixture(params=TOKEN_AXES, ids=["BSHD", "BHSD"])
def token_axis(request: pytest.FixtureRequest) -> int:
    axis: int = request.param
    return axis


@pytest.fixture
def layer(token_axis: int) -> Layer:
    return Layer(width=4, token_axis=token_axis)


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


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "complex64", "float64", "int64"])
def test_kernels_take_arrays_of_any_dtype_of_their_width(token_axis: int, dtype: str) -> None:
    layer = Layer(np.dtype(dtype).itemsize, token_axis)
    keys, values = layer.new_rows(2)
    expected = twin(layer.keys, keys, [4, 2], token_axis)
    assert layer.put(keys.view(dtype), values.view(dtype), [4, 2], PUT_ROWS) == DONE
    np.testing.assert_array_equal(layer.keys, expected)


# What is counted: ticket, tokens, rows written, evicted and assembled are the block's first words


def test_put_row_counts_one_token_and_leaves_the_ticket(layer: Layer) -> None:
    before = layer.block.tolist()
    layer.put(*layer.new_rows(1), [2], PUT_ROW)
    assert layer.block.tolist() == [TICKET_GIVEN, 1, 1, 3, 0, *before[5:]]


@many_variants
def test_put_rows_counts_tokens_and_rows_apart(layer: Layer, variant: Variant) -> None:
    before = layer.block.tolist()
    for _ in range(2):
        layer.put(*layer.new_rows(4), [-1, 3, -1, 0], variant)
    assert layer.block.tolist() == [TICKET_GIVEN, 8, 4, 6, 12, *before[5:]]


def test_a_block_is_two_cache_lines_and_describes_the_storage(layer: Layer) -> None:
    assert (layer.block.nbytes, layer.block.dtype) == (8 * kernels.BLOCK_WORDS, np.int64)
    keys_at, values_at = layer.keys.ctypes.data, layer.values.ctypes.data
    expected = [0] * 5 + [layer.token_axis, keys_at, *layer.keys.shape]
    assert layer.block.tolist() == [*expected, values_at, *layer.values.shape]


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
    with pytest.raises(IndexError):
        layer.put(*layer.new_rows(1), [CAPACITY], variant)
    assert layer.block[TICKET] == 0
