"""Views that are assembled: their pieces, and the kernel beside its twins."""

from __future__ import annotations

import os
from itertools import product
from typing import Any

import numpy as np
import pytest

from kvring import RingBuffer, compiling, kernels_assembled
from kvring.assembly import pieces_of
from kvring.kernels import ADMITTED, DONE, MISSHAPEN, NOT_ADMITTED, OVERLAPPING, STRIDED, TICKET
from kvring.rows import Run
from tests.support import Array
from tests.unit.kernel_layer import (
    BATCH,
    CAPACITY,
    HEAD_DIM,
    TICKET_GIVEN,
    VALUE_DIM,
    WIDTHS,
    Layer,
    random_words,
    shape,
    twin,
)

UNUSED = 0xAA  # what an assembled view must not show
FIRST = 20  # position of the first new row


def runs_of(slots: list[int], first: int) -> list[Run]:
    """Runs of rows with consecutive positions from `first` on; a slot of -1 is none."""
    runs: list[Run] = []
    for position, slot in enumerate(slots, first):
        last = runs[-1] if runs else Run(-9, -9, 0)
        if (position, slot) == (last.position + last.rows, last.slot + last.rows):
            runs[-1] = last._replace(rows=last.rows + 1)
        elif slot >= 0:
            runs.append(Run(position, slot, 1))
    return runs


def pieces(old: list[int], new: list[int]) -> Array:
    """Pieces of a view that shows the slots `old` and then new rows, which get the slots `new`."""
    return pieces_of(runs_of(old, 0), runs_of(new, FIRST), FIRST, len(new))


def put(
    layer: Layer, keys: Array, values: Array, old: list[int], new: list[int]
) -> tuple[int, Array, Array]:
    """Call the kernel as a ring would, and return its code and both arrays of the view."""
    kernel = compiling.kernel("put_assembled", layer.width, releases_gil=True)
    tokens = len(old) + len(new)
    shown = [
        np.full(shape(tokens, dim, layer.token_axis), UNUSED, f"u{layer.width}")
        for dim in (HEAD_DIM, VALUE_DIM)
    ]
    common = layer.block, keys, values, TICKET_GIVEN, 3, pieces(old, new), len(old), len(new)
    code = kernel(*common, *(array.ctypes.data for array in shown))
    return code, shown[0], shown[1]


def assert_as_by_twins(layer: Layer, rows: list[Array], old: list[int], new: list[int]) -> None:
    """The view is the old rows and then the new ones; the slots are as `put_rows` leaves them."""
    axis, targets = layer.token_axis, (layer.keys, layer.values)
    views = [
        np.concatenate([target.take(old, axis), given], axis)
        for target, given in zip(targets, rows, strict=True)
    ]
    stored = [twin(target, given, new, axis) for target, given in zip(targets, rows, strict=True)]
    before = layer.block.tolist()
    code, *shown = put(layer, *rows, old, new)
    assert code == DONE
    for array, expected in zip((*shown, *targets), (*views, *stored), strict=True):
        np.testing.assert_array_equal(array, expected)
    kept = sum(slot >= 0 for slot in new)
    told = (len(new), kept, 3, len(old) + len(new))
    assert layer.block.tolist() == [TICKET_GIVEN, *(BATCH * n for n in told), *before[5:]]


WAYS = [
    ([], [0, 1, 2]),
    ([0, 1], [2, 3]),
    ([0, 3, 4, 1], [2, 3, 4, 1]),
    ([0, 2, 3], [-1, -1, 4, 1, 2, 3]),
    ([4, 0], [1, 2, -1, 3]),
    ([3, 4, 0, 1, 2], [3, 4, 0, 1, 2]),
    ([1], [-1, -1, -1]),
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("old", "new"), WAYS)
def test_put_assembled_does_what_its_twins_do(
    width: int, token_axis: int, old: list[int], new: list[int]
) -> None:
    layer = Layer(width, token_axis)
    assert_as_by_twins(layer, list(layer.new_rows(len(new))), old, new)


@pytest.mark.parametrize("seed", range(20))
def test_put_assembled_does_what_its_twins_do_with_random_slots(token_axis: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    layer = Layer(2, token_axis)
    old = random.permutation(CAPACITY)[: random.integers(CAPACITY + 1)].tolist()
    new = random.permutation(CAPACITY)[: random.integers(1, CAPACITY + 1)]
    new[random.random(len(new)) < 0.3] = -1
    assert_as_by_twins(layer, list(layer.new_rows(len(new))), old, new.tolist())


def test_pieces_of_many_blocks_are_moved_whole(token_axis: int) -> None:
    """A piece is moved block by block: here seven of them, the last one shorter."""
    rows = 3 + 6 * (kernels_assembled.BLOCK_BYTES // (BATCH * 3 * 4 * 8))
    wide = Layer(8, token_axis)
    for name, dim in (("keys", HEAD_DIM), ("values", VALUE_DIM)):
        setattr(wide, name, random_words(shape(rows, dim, token_axis), 8, seed=dim))
    wide.block = compiling.new_block(wide.keys, wide.values, token_axis)
    slots = np.roll(np.arange(rows), 2).tolist()
    assert_as_by_twins(wide, list(wide.new_rows(rows)), slots, [-1, *slots[1:]])


@pytest.mark.parametrize(
    "how", ["every other token", "backwards", "fused", "heads apart", "one for all"]
)
def test_sources_of_any_strides_are_taken(token_axis: int, how: str) -> None:
    layer = Layer(4, token_axis)
    rows = list(layer.new_rows(8))
    head_axis = 3 - token_axis
    for index, plain in enumerate(rows):
        if how == "every other token":
            rows[index] = plain.take(range(4), token_axis).repeat(2, token_axis)
            rows[index] = np.moveaxis(np.moveaxis(rows[index], token_axis, 0)[::2], 0, token_axis)
        elif how == "backwards":
            rows[index] = np.moveaxis(np.moveaxis(plain, token_axis, 0)[3::-1], 0, token_axis)
        elif how == "one for all":
            rows[index] = np.broadcast_to(plain.take([3], token_axis), plain.shape)
        elif how == "fused":
            rows[index] = np.concatenate([plain, plain], 3)[..., : plain.shape[3]]
        else:
            rows[index] = np.moveaxis(np.moveaxis(plain, head_axis, 0).copy(), 0, head_axis)
    count = rows[0].shape[token_axis]
    new = [2, 3, 4, 1] if count == 4 else [0, -1, -1, -1, 2, 3, 4, 1]
    assert_as_by_twins(layer, rows, [0, 3, 4, 1], new)


# Refusals


def test_what_put_rows_refuses_is_refused_whole(layer: Layer) -> None:
    keys, values = layer.new_rows(2)
    inside = layer.keys.reshape(-1)[: keys.size].reshape(keys.shape)
    before = layer.picture()
    for wrong_keys, wrong_values, code in (
        (keys[:1], values, MISSHAPEN),
        (keys.take([0], layer.token_axis), values.take([0], layer.token_axis), MISSHAPEN),
        (keys, np.repeat(values, 2, axis=3)[..., ::2], STRIDED),
        (inside, values, OVERLAPPING),
    ):
        given, *shown = put(layer, wrong_keys, wrong_values, [0, 1], [3, 4])
        assert given == code
        assert layer.picture() == before
        assert all((array == UNUSED).all() for array in shown)


@pytest.mark.parametrize(("most", "code"), [(4, NOT_ADMITTED), (5, DONE)])
def test_a_slot_that_may_not_be_written_as_yet_is_refused(
    layer: Layer, most: int, code: int
) -> None:
    layer.block[ADMITTED] = most
    before = layer.picture()
    given, *shown = put(layer, *layer.new_rows(4), [0], [2, -1, 3, 4])
    assert given == code
    assert (layer.picture() == before) == (code == NOT_ADMITTED)
    assert all((array == UNUSED).all() for array in shown) == (code == NOT_ADMITTED)


@pytest.mark.skipif(
    os.environ.get("NUMBA_BOUNDSCHECK") != "1" or os.environ.get("NUMBA_DISABLE_JIT") == "1",
    reason="kernels check ranges under NUMBA_BOUNDSCHECK=1 alone",
)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_slot_beyond_the_storage_raises_under_boundscheck(width: int, token_axis: int) -> None:
    layer = Layer(width, token_axis)
    layer.block[ADMITTED] = CAPACITY + 1  # or the kernel would refuse the slot by itself
    for old, new in (([], [CAPACITY]), ([CAPACITY], [0])):
        with pytest.raises(IndexError):
            put(layer, *layer.new_rows(1), old, new)
        assert layer.block[TICKET] == 0


# The trial of a kernel that was loaded


def test_the_trial_passes_the_kernel_and_rejects_one_that_fills_another_view() -> None:
    good = compiling.kernel("put_assembled", 4, releases_gil=True)
    elsewhere = np.zeros(64, np.float32)

    def shows_elsewhere(*arguments: Any) -> int:
        return good(*arguments[:-1], elsewhere.ctypes.data)

    assert compiling._works(good, "put_assembled", 4)
    assert not compiling._works(shows_elsewhere, "put_assembled", 4)


def test_views_of_any_length_have_the_kernel_that_warm_up_compiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        compiling, "kernel", lambda name, width, *, releases_gil: asked.append((name, releases_gil))
    )
    ring = RingBuffer(4, kv_heads=1, head_dim=1)
    for count in (2, 1 << 20):
        ring._rows_kernel(count, "put_assembled")
    assert asked == [*compiling.ASSEMBLING] * 2


# Pieces


def slow_pieces(old: list[int], new: list[int]) -> set[tuple[int, int, int]]:
    """For each slot, and each new row without one: (index in the view, slot, new row), or -1."""
    rows: set[tuple[int, int, int]] = {(-1, -1, t) for t, slot in enumerate(new) if slot < 0}
    for slot in {*old, *new} - {-1}:
        shown = old.index(slot) if slot in old else -1
        rows.add((shown, slot, new.index(slot) if slot in new else -1))
    return rows


def one_by_one(found: Array) -> list[tuple[int, ...]]:
    """The rows of pieces, each as a piece of its own."""
    return [
        tuple(-1 if start < 0 else start + step for start in (shown, slot, token))
        for shown, slot, count, token in found.tolist()
        for step in range(count)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_pieces_say_what_becomes_of_every_slot_and_every_new_row_once(seed: int) -> None:
    random: Any = np.random.default_rng(seed)
    old = random.permutation(7)[: random.integers(8)].tolist()
    new = random.permutation(7)[: random.integers(1, 8)]
    new[random.random(len(new)) < 0.3] = -1
    rows = one_by_one(pieces(old, new.tolist()))
    assert len(rows) == len(set(rows))
    assert set(rows) == slow_pieces(old, new.tolist())


def test_a_wrapped_ring_and_a_long_chunk_make_few_pieces() -> None:
    """However many rows there are: what a step costs besides the copying does not grow."""
    for window, head in product((1000, 2000), (1, 500)):
        ring = np.roll(np.arange(window), -head)
        new = [*[-1] * 500, *np.roll(ring, -500).tolist()]
        assert len(pieces(ring[1:].tolist(), new)) < 8
