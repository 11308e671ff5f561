"""Weights row by row: against a twin that adds one by one; nonsense is found wherever it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring.errors import PolicyError
from kvring.kernels_weights import BLOCK
from kvring.policies.weigh import QUIET_WEIGHTS, Way, weighed
from tests.support import Array

SHAPES = [
    (1, 1, 1, 1),
    (2, 4, 3, 7),
    (1, 2, 1, BLOCK),
    (2, 3, 2, BLOCK + 1),
    (1, 3, 1, QUIET_WEIGHTS // 2),
]
WAYS: tuple[Way, ...] = ("sum", "largest")
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_way = pytest.mark.parametrize("way", WAYS)


def random_weights(shape: tuple[int, ...], dtype: str) -> Array:
    """Of very different sizes, so that sums in another order are other sums."""
    random = np.random.default_rng(sum(shape))
    return (random.random(shape) * 10.0 ** random.integers(-12, 12, shape)).astype(dtype)


def twin(weights: Array, way: Way) -> Array:
    by_row = np.zeros((weights.shape[0], weights.shape[3]))
    for head in range(weights.shape[1]):
        for query in range(weights.shape[2]):
            row = weights[:, head, query].astype(np.float64)
            by_row = by_row + row if way == "sum" else np.maximum(by_row, row)
    return by_row


@each_dtype
@each_way
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_taken_in_order_and_bit_for_bit(shape: Any, dtype: str, way: Way) -> None:
    weights = random_weights(shape, dtype)
    by_row = weighed(weights, way)
    assert by_row.dtype == np.float64
    np.testing.assert_array_equal(by_row, twin(weights, way))


@each_dtype
@each_way
def test_weights_in_any_memory_come_to_the_same(dtype: str, way: Way) -> None:
    weights = random_weights((2, 4, 3, 7), dtype)
    expected = twin(weights, way)
    swapped = np.swapaxes(np.swapaxes(weights, 1, 2).copy(), 1, 2)
    read_only = weights.copy()
    read_only.flags.writeable = False
    for given in (swapped, read_only, np.flip(np.flip(weights, 3).copy(), 3)):
        np.testing.assert_array_equal(weighed(given, way), expected)


@each_dtype
@each_way
@pytest.mark.parametrize("nonsense", [np.nan, -np.nan, np.inf, -np.inf, -1e-30])
def test_nonsense_is_refused_wherever_it_stands(dtype: str, way: Way, nonsense: float) -> None:
    weights = random_weights((2, 2, 2, BLOCK + 3), dtype)
    for place in [(0, 0, 0, 0), (1, 1, 1, BLOCK + 2), (0, 1, 0, BLOCK), (1, 0, 1, BLOCK - 1)]:
        spoiled = weights.copy()
        spoiled[place] = nonsense
        with pytest.raises(PolicyError, match="expected finite numbers of at least 0, got"):
            weighed(spoiled, way)


@each_dtype
@each_way
def test_minus_zero_is_nothing_and_no_weights_come_to_nothing(dtype: str, way: Way) -> None:
    zeros = np.full((1, 2, 1, 3), -0.0, dtype)
    zeros[0, 0, 0, 1] = 0.5
    assert weighed(zeros, way).tolist() == [[0, 0.5, 0]]
    for shape in [(1, 2, 0, 3), (1, 2, 1, 0)]:
        assert weighed(np.zeros(shape, dtype), way).tolist() == [[0.0] * shape[3]]


def test_sums_that_are_too_large_are_infinite_and_no_nonsense() -> None:
    assert weighed(np.full((1, 2, 1, 1), 1.5e308), "sum").tolist() == [[np.inf]]
