"""RingBuffer, used alone: rows behind the newest, over the oldest where the ring is full."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvring import DTypeError, KVRingError, RingBuffer, ShapeError, compiling
from tests.cache.feeding import numbered, numbers

NAN = float("nan")

AS_ARRAY = "use np.asarray(keys, dtype='float32')"


def make_ring(capacity: int = 3, **options: Any) -> RingBuffer:
    """One KV head of one element; every slot is poisoned."""
    ring = RingBuffer(capacity, kv_heads=1, head_dim=1, **options)
    ring._keys[...] = ring._values[...] = NAN
    return ring


def contents(ring: RingBuffer) -> list[list[float]]:
    """The keys of each segment, once its values are known to be theirs."""
    for keys, values in ring.segments:
        np.testing.assert_array_equal(values, keys + 100)
    return [numbers(keys) for keys, _ in ring.segments]


def append(ring: RingBuffer, first: int, count: int) -> int:
    return ring.append(*numbered(first, count))


# Appending


def test_a_new_ring_is_empty() -> None:
    ring = make_ring()
    assert (ring.capacity, ring.length, ring.head) == (3, 0, 0)
    assert contents(ring) == [[]]


def test_rows_fill_the_slots_and_then_take_the_place_of_the_oldest() -> None:
    ring = make_ring()
    history = []
    for row in range(5):
        gave_way = append(ring, row, 1)
        history.append((gave_way, ring.head, ring.length, contents(ring)))
    assert history == [
        (0, 0, 1, [[0]]),
        (0, 0, 2, [[0, 1]]),
        (0, 0, 3, [[0, 1, 2]]),
        (1, 1, 3, [[1, 2], [3]]),
        (1, 2, 3, [[2], [3, 4]]),
    ]
    assert numbers(ring._keys) == [3, 4, 2]


def test_a_chunk_wraps_like_the_same_rows_one_by_one() -> None:
    ring = make_ring()
    assert append(ring, 0, 2) == 0
    assert append(ring, 2, 3) == 2
    assert (ring.head, ring.length, contents(ring)) == (2, 3, [[2], [3, 4]])


def test_of_more_rows_than_capacity_the_newest_are_kept() -> None:
    ring = make_ring()
    append(ring, 0, 1)
    assert append(ring, 1, 7) == 5  # row 0, and of the new ones 1 to 4
    assert (ring.head, ring.length, contents(ring)) == (2, 3, [[5], [6, 7]])
    assert ring.counters()["rows_written"] == 1 + 3
    assert ring.counters()["tokens_written"] == 8


def test_exactly_as_many_rows_as_capacity_replace_everything() -> None:
    ring = make_ring()
    append(ring, 0, 1)
    assert append(ring, 1, 3) == 1
    assert contents(ring) == [[1, 2], [3]]


def test_a_ring_of_one_slot_holds_the_newest_row() -> None:
    ring = make_ring(1)
    assert [append(ring, 0, 1), append(ring, 1, 1), append(ring, 2, 4)] == [0, 1, 4]
    assert (ring.head, contents(ring)) == (0, [[5]])


def test_no_rows_change_nothing() -> None:
    ring = make_ring()
    append(ring, 0, 4)
    assert append(ring, 4, 0) == 0
    assert (ring.head, ring.length, contents(ring)) == (1, 3, [[1, 2], [3]])


@settings(max_examples=100, deadline=None, database=None)
@given(st.integers(1, 5), st.lists(st.one_of(st.integers(0, 9), st.none()), max_size=8))
def test_any_chunks_leave_what_a_list_would(capacity: int, chunks: list[int | None]) -> None:
    ring = make_ring(capacity)
    kept: list[int] = []
    first = 0
    for count in chunks:
        if count is None:
            ring.clear()
            kept = []
            continue
        new = kept + list(range(first, first + count))
        assert append(ring, first, count) == max(len(new) - capacity, 0)
        kept, first = new[-capacity:], first + count
        assert [row for piece in contents(ring) for row in piece] == kept
        assert ring.length == len(kept)
        assert 0 <= ring.head < capacity


def test_clear_forgets_all_rows_and_starts_at_slot_zero() -> None:
    ring = make_ring()
    append(ring, 0, 4)
    ring.clear()
    assert (ring.head, ring.length, contents(ring)) == (0, 0, [[]])
    assert append(ring, 9, 2) == 0
    assert (ring.head, contents(ring)) == (0, [[9, 10]])


# What goes in, and what comes out


def test_segments_are_read_only_windows_on_the_ring() -> None:
    ring = make_ring()
    append(ring, 0, 4)
    for keys, values in ring.segments:
        assert np.shares_memory(keys, ring._keys)
        assert np.shares_memory(values, ring._values)
        assert not keys.flags.writeable
        assert not values.flags.writeable


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_rows_of_several_heads_and_batch_rows_keep_their_shape(layout: Any) -> None:
    ring = RingBuffer(4, kv_heads=3, head_dim=5, value_dim=2, batch=2, layout=layout)
    shape = (2, 6, 3) if layout == "BSHD" else (2, 3, 6)
    axis = layout.index("S")
    keys = np.arange(180, dtype=np.float32).reshape(*shape, 5)
    values = np.arange(72, dtype=np.float32).reshape(*shape, 2)
    assert ring.append(keys, values) == 2
    found = [np.concatenate(arrays, axis) for arrays in zip(*ring.segments, strict=True)]
    np.testing.assert_array_equal(found[0], np.take(keys, range(2, 6), axis))
    np.testing.assert_array_equal(found[1], np.take(values, range(2, 6), axis))
    assert ring.row_nbytes == 2 * 3 * (5 + 2) * 4
    assert ring.nbytes == 4 * ring.row_nbytes


@pytest.mark.parametrize("backwards", [False, True])
def test_rows_of_the_ring_itself_are_taken_as_if_they_had_been_copied_first(
    backwards: bool,
) -> None:
    ring = make_ring(4)
    append(ring, 0, 4)
    keys, values = ring.segments[0]
    step = -1 if backwards else 1
    ring.append(keys[:, ::step][:, :3], values[:, ::step][:, :3])
    # Slots 0, 1 and 2 take what was in slots 3, 2 and 1, or 0, 1 and 2.
    assert [row for piece in contents(ring) for row in piece] == (
        [3, 3, 2, 1] if backwards else [3, 0, 1, 2]
    )


@pytest.mark.parametrize(("count", "name"), [(1, "one row"), (3, "several rows")])
def test_rows_of_more_than_64_kib_wrap_like_small_ones(count: int, name: str) -> None:
    ring = RingBuffer(2, kv_heads=1, head_dim=8192, value_dim=1, dtype="float64")
    assert ring.row_nbytes > 1 << 16
    for first in (0, count):
        values = np.arange(first, first + count, dtype=np.float64).reshape(1, count, 1, 1)
        ring.append(np.repeat(values, 8192, axis=3), values)
    kept = list(range(2 * count))[-2:]
    pairs = [
        (keys[0, row, 0], values[0, row, 0, 0])
        for keys, values in ring.segments
        for row in range(keys.shape[1])
    ]
    assert [value for _, value in pairs] == kept, name
    for keys, value in pairs:
        np.testing.assert_array_equal(keys, np.full(8192, value))


def test_only_moves_of_more_than_64_kib_let_other_threads_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, bool]] = []
    original = compiling.kernel

    def spying(name: str, word_bytes: int, *, releases_gil: bool = False) -> compiling.Kernel:
        asked.append((name, releases_gil))
        return original(name, word_bytes, releases_gil=releases_gil)

    monkeypatch.setattr(compiling, "kernel", spying)
    ring = RingBuffer(8, kv_heads=1, head_dim=2048, dtype="float64")
    assert ring.row_nbytes == 1 << 15
    for count in (1, 2, 3):
        rows = np.zeros((1, count, 1, 2048))
        ring.append(rows, rows)
    wide = RingBuffer(8, kv_heads=1, head_dim=4096, value_dim=4097, dtype="float64")
    wide.append(np.zeros((1, 1, 1, 4096)), np.zeros((1, 1, 1, 4097)))
    assert asked == [
        ("put_row", False),
        ("put_rows", False),
        ("put_rows", True),
        ("put_rows", True),
    ]


# Refusals


@pytest.mark.parametrize(
    ("keys", "values", "error", "message"),
    [
        (
            np.zeros((1, 1, 1, 1)),
            numbered(0, 1)[1],
            DTypeError,
            "keys: expected float32, got float64; use keys.astype('float32')",
        ),
        (
            numbered(0, 2)[0],
            numbered(0, 1)[1],
            ShapeError,
            "values: expected 2 tokens on axis 1 as in keys, got 1",
        ),
        (
            np.zeros((1, 1, 1, 2), np.float32),
            numbered(0, 1)[1],
            ShapeError,
            "keys: expected head_dim=1 on axis 3, got 2",
        ),
        (
            [1.0],
            numbered(0, 1)[1],
            DTypeError,
            f"keys: expected a numpy.ndarray of float32, got list; {AS_ARRAY}",
        ),
    ],
    ids=["dtype", "V shorter than K", "head_dim", "list"],
)
def test_refused_rows_change_nothing(
    keys: Any, values: Any, error: type[KVRingError], message: str
) -> None:
    ring = make_ring()
    append(ring, 0, 4)
    before = (ring.head, ring.length, ring._keys.tobytes(), ring._values.tobytes(), ring.counters())
    with pytest.raises(error) as caught:
        ring.append(keys, values)
    assert str(caught.value) == message
    after = (ring.head, ring.length, ring._keys.tobytes(), ring._values.tobytes(), ring.counters())
    assert after == before
    assert append(ring, 4, 1) == 1
    assert contents(ring) == [[2], [3, 4]]


# Repr


def test_a_ring_says_what_it_holds_and_where_its_head_is() -> None:
    ring = RingBuffer(3, kv_heads=2, head_dim=4, value_dim=6, batch=5, dtype="f2", layout="BHSD")
    assert repr(ring) == (
        "<RingBuffer 2 x 4/6 float16, batch 5, BHSD: 0 of 3 slots, head at slot 0>"
    )
    plain = make_ring()
    append(plain, 0, 4)
    assert repr(plain) == "<RingBuffer 1 x 1 float32, batch 1, BSHD: 3 of 3 slots, head at slot 1>"
