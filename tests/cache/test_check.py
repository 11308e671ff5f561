"""check() notices: each invariant is broken by hand, and the AssertionError names it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kvring import Append, KVCache, Replace
from kvring.kernels import WRITTEN
from kvring.plan import Move
from kvring.rows import Run, State
from tests.cache.feeding import feed, make
from tests.support import WORKED_EXAMPLE, Array


def two_layers(mode: Any = WORKED_EXAMPLE, tokens: int = 12) -> KVCache:
    """Both layers are in the same sound state; with the worked example State(12, 7, 6, 0)."""
    cache = make(mode, mode)
    for layer in range(2):
        feed(cache, *[1] * tokens, layer=layer)
    return cache


def plant(cache: KVCache, state: State, layer: int = 1) -> None:
    """Make the layer believe that it is in `state`."""
    cache._ledger[layer] = Move.at_rest(state)


def assert_noticed(cache: KVCache, message: str, layer: int = 1) -> None:
    """check() fails, names the layer, its mode and state, and says exactly `message`."""
    mode, state = cache.config.layers[layer].strategy, cache.rings[layer].state
    with pytest.raises(AssertionError) as caught:
        cache.check()
    # pytest may add a line of its own to the message of an assert.
    first_line = str(caught.value).splitlines()[0]
    assert first_line == f"layer {layer}, {mode}, {state}: {message}"


def test_a_sound_cache_passes() -> None:
    for mode, tokens in ((WORKED_EXAMPLE, 12), (Append(4), 3), (Append(4), 4), (Replace(2), 1)):
        two_layers(mode, tokens).check()


# States


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State(12, 8, 6, 0), "length outside 0..7"),
        (State(12, -1, 6, 0), "length outside 0..7"),
        (State(5, 7, 1, 0), "more rows resident than tokens seen"),
        (State(12, 7, 6, -1), "negative epoch"),
        (State(12, 0, 6, 0), "1 positions resident"),
        (State(12, 4, 2, 0), "the newest token misses positions [8]"),
        (State(12, 3, 3, 0), "the newest token misses positions [8, 9]"),
        (State(12, 7, 5, 0), "the oldest row of the ring is in slot 6"),
        (State(13, 7, 6, 0), "the oldest row of the ring is in slot 1"),
        (State(0, 0, 0, 0), "the oldest row of the ring is in slot 1"),
        (State(1, 1, 0, 0), "the oldest row of the ring is in slot 1"),
    ],
    ids=str,
)
def test_an_impossible_state_of_a_ring_is_noticed(state: State, message: str) -> None:
    cache = two_layers()
    plant(cache, state)
    assert_noticed(cache, message)


@pytest.mark.parametrize("mode", [Append(4), Replace(4)])
@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State(5, 5, 0, 0), "length outside 0..4"),
        (State(3, 2, 0, 0), "the newest token misses positions [0]"),
        (State(3, 3, 1, 0), "head is not slot 0"),
        (State(0, 0, 2, 0), "head is not slot 0"),
    ],
    ids=str,
)
def test_an_impossible_state_without_a_window_is_noticed(
    mode: Any, state: State, message: str
) -> None:
    cache = two_layers(mode, 1)
    plant(cache, state)
    assert_noticed(cache, message)


def test_the_first_broken_layer_is_named() -> None:
    cache = two_layers()
    plant(cache, State(12, 8, 6, 0), layer=0)
    plant(cache, State(12, 7, 6, -1), layer=1)
    assert_noticed(cache, "length outside 0..7", layer=0)


# Where the rows are


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            (Run(0, 0, 1), Run(8, 2, 4)),
            "resident positions are [0, 8, 9, 10, 11]",
        ),
        (
            (Run(6, 6, 1), Run(7, 1, 5), Run(0, 0, 1)),
            "resident positions are [6, 7, 8, 9, 10, 11, 0]",
        ),
        (
            (Run(0, 0, 1), Run(6, 5, 1), Run(7, 1, 5)),
            "a slot holds two rows: [0, 5, 1, 2, 3, 4, 5]",
        ),
        (
            (Run(0, 6, 1), Run(6, 0, 6)),
            "slots are [6, 0, 1, 2, 3, 4, 5], expected [0, 6, 1, 2, 3, 4, 5]",
        ),
    ],
    ids=["gap", "sink last", "slot used twice", "sink in the ring"],
)
def test_rows_where_no_law_puts_them_are_noticed(
    monkeypatch: pytest.MonkeyPatch, runs: tuple[Run, ...], message: str
) -> None:
    cache = two_layers()
    monkeypatch.setattr(cache._strategies[0], "resident", lambda state: runs)
    assert_noticed(cache, message, layer=0)


# Storage and counters


@pytest.mark.parametrize("name", ["keys", "values"])
@pytest.mark.parametrize(
    ("exchanged", "message"),
    [
        (np.zeros((1, 8, 1, 1), np.float32), "have shape (1, 8, 1, 1)"),
        (np.zeros((1, 7, 1, 1), np.float64), "have dtype float64"),
        (np.zeros((1, 7, 1, 2), np.float32)[..., :1], "are not contiguous"),
    ],
    ids=["shape", "dtype", "strides"],
)
def test_exchanged_storage_is_noticed(name: str, exchanged: Array, message: str) -> None:
    cache = two_layers()
    setattr(cache.rings[1], f"_{name}", exchanged)
    assert_noticed(cache, f"{name} {message}")


@pytest.mark.parametrize("name", ["keys", "values"])
def test_views_that_could_be_written_are_noticed(name: str) -> None:
    cache = two_layers()
    ring = cache.rings[1]
    object.__setattr__(ring, f"{name}_shown", getattr(ring, f"_{name}"))
    assert_noticed(cache, "views would be writable")


def test_counters_that_cannot_be_are_noticed() -> None:
    cache = two_layers()
    ring = cache.rings[1]
    ring._block[WRITTEN] = 13  # of 12 tokens
    assert_noticed(cache, f"{ring.counters()}")
    ring._block[WRITTEN] = -1
    assert_noticed(cache, f"negative counter in {ring.counters()}")
    ring._block[WRITTEN] = 12
    cache.check()


def test_sizes_that_do_not_agree_are_noticed() -> None:
    cache = two_layers()
    cache.config = replace(cache.config, batch=2)
    assert_noticed(cache, "batches [1, 2]", layer=0)
    cache = two_layers()
    ring = replace(cache.config.layers[1], strategy=Append(8))
    cache.config = replace(cache.config, layers=(cache.config.layers[0], ring))
    assert_noticed(cache, "capacities [7, 8]")
