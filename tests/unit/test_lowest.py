"""Who gives way among many: the same as sorting all of them."""

import numpy as np
import pytest

from kvring.policies.trackers import lowest


def sorted_out(keys, positions, which, count):
    """The slow twin."""
    rows = [row for row in range(len(keys)) if which[row]]
    return sorted(rows, key=lambda row: (keys[row], positions[row]))[:count]


@pytest.mark.parametrize("different_keys", [1, 2, 5, 1000], ids="of {} different keys".format)
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_the_lowest_are_those_that_come_first_when_all_are_sorted(different_keys, dtype):
    dice = np.random.default_rng(different_keys)
    for _ in range(400):
        rows = int(dice.integers(0, 30))
        keys = dice.integers(0, different_keys, rows).astype(dtype)
        positions, which = dice.permutation(rows), dice.random(rows) < 0.7
        count = int(dice.integers(0, rows + 2))
        found = lowest(keys, positions, which, count)
        assert found.tolist() == sorted_out(keys, positions, which, count)


def test_a_key_may_be_infinite():
    keys, positions = np.array([np.inf, 1.0, np.inf]), np.array([7, 9, 3])
    assert lowest(keys, positions, positions > 0, 2).tolist() == [1, 2]
