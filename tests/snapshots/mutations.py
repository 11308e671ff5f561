"""Files that differ from a saved one: by a bit, a byte, a block, or where they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

Rng = np.random.Generator


def mutated(saved: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` files with the name of what was done to each; none is `saved` itself."""
    rng = np.random.default_rng(seed)
    names = list(WAYS)
    made = 0
    while made < count:
        name = names[made % len(names)]
        data = WAYS[name](bytearray(saved), rng)
        if data != saved:
            made += 1
            yield name, bytes(data)


def _place(data: bytearray, rng: Rng) -> int:
    """Anywhere; in the header as often as in the data."""
    header = min(8 + int.from_bytes(data[:8], "little"), len(data))
    return int(rng.integers(header if rng.random() < 0.5 else len(data)))


def _block(data: bytearray, rng: Rng) -> slice:
    start = _place(data, rng)
    return slice(start, min(start + int(rng.integers(1, 200)), len(data)))


def flip_a_bit(data: bytearray, rng: Rng) -> bytearray:
    """One bit."""
    data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def set_a_byte(data: bytearray, rng: Rng) -> bytearray:
    """One byte."""
    data[_place(data, rng)] = int(rng.integers(256))
    return data


def flip_some_bits(data: bytearray, rng: Rng) -> bytearray:
    """Some bits, anywhere."""
    for _ in range(rng.integers(2, 40)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def scramble_a_block(data: bytearray, rng: Rng) -> bytearray:
    """Random bytes over a block."""
    block = _block(data, rng)
    data[block] = rng.bytes(block.stop - block.start)
    return data


def zero_a_block(data: bytearray, rng: Rng) -> bytearray:
    """Zeros over a block, as a disk leaves where nothing was written."""
    block = _block(data, rng)
    data[block] = bytes(block.stop - block.start)
    return data


def zero_the_end(data: bytearray, rng: Rng) -> bytearray:
    """Zeros from somewhere on: a file whose length came to disk before its data."""
    start = _place(data, rng)
    data[start:] = bytes(len(data) - start)
    return data


def cut_off(data: bytearray, rng: Rng) -> bytearray:
    """An end too early."""
    return data[: _place(data, rng)]


def append(data: bytearray, rng: Rng) -> bytearray:
    """More behind the end."""
    return data + rng.bytes(int(rng.integers(1, 100)))


def drop_a_block(data: bytearray, rng: Rng) -> bytearray:
    """Bytes missing in the middle."""
    del data[_block(data, rng)]
    return data


def double_a_block(data: bytearray, rng: Rng) -> bytearray:
    """Bytes that stand there twice."""
    block = _block(data, rng)
    data[block.start : block.start] = data[block]
    return data


def swap_two_blocks(data: bytearray, rng: Rng) -> bytearray:
    """Blocks of one length in each other's place."""
    nbytes = int(rng.integers(1, 64))
    one, other = (int(rng.integers(len(data) - nbytes)) for _ in range(2))
    if abs(one - other) >= nbytes:
        first, second = data[one : one + nbytes], data[other : other + nbytes]
        data[one : one + nbytes], data[other : other + nbytes] = second, first
    return data


def swap_two_tensors(data: bytearray, rng: Rng) -> bytearray:
    """Data of two tensors of one length in each other's place."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    places = [of["data_offsets"] for name, of in header.items() if name != "__metadata__"]
    (a, b), (c, d) = (places[i] for i in rng.choice(len(places), 2, replace=False))
    if b - a == d - c:
        one, other = slice(start + a, start + b), slice(start + c, start + d)
        data[one], data[other] = data[other], data[one]
    return data


def another_number(data: bytearray, rng: Rng) -> bytearray:
    """Another digit somewhere in the header."""
    stop = 8 + int.from_bytes(data[:8], "little")
    digits = [n for n in range(8, stop) if chr(data[n]).isdigit()]
    data[int(rng.choice(digits))] = ord("0") + int(rng.integers(10))
    return data


def another_length(data: bytearray, rng: Rng) -> bytearray:
    """Another length of the header."""
    data[int(rng.integers(8))] = int(rng.integers(256))
    return data


WAYS: dict[str, Callable[[bytearray, Rng], bytearray]] = {
    way.__name__: way
    for way in (
        *(flip_a_bit, set_a_byte, flip_some_bits, scramble_a_block, zero_a_block, zero_the_end),
        *(cut_off, append, drop_a_block, double_a_block, swap_two_blocks, swap_two_tensors),
        *(another_number, another_length),
    )
}
