"""Configuration: every wrong argument of a constructor is a ConfigError that says what to give."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import kvring
from kvring import Append, Circular, ConfigError, KVCache, Replace, RingBuffer, warm_up
from kvring.config import MOST_LAYERS, CacheConfig, LayerConfig, Mode

GOOD: dict[str, Any] = {"layers": 2, "kv_heads": 3, "head_dim": 4, "strategy": Append(8)}
DTYPE_WANTED = "dtype: expected a numeric dtype of 1, 2, 4 or 8 bytes in native byte order"
LAYOUT_WANTED = (
    "layout: expected 'BSHD' (batch, tokens, kv_heads, dim) or"
    " 'BHSD' (batch, kv_heads, tokens, dim)"
)
STRATEGY_WANTED = "strategy: expected Append(capacity), Circular(window, ...) or Replace(capacity)"


def assert_refused(message: str, make: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(*args, **kwargs)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


# Integers


def no_integers(least: int) -> list[Any]:
    """Things that are no count, each with what the message says of it."""
    shown = {
        "None (NoneType)": None,
        "True (bool)": True,
        "4.0 (float)": 4.0,
        "nan (float)": float("nan"),
        "'4' (str)": "4",
        "Fraction(4, 1) (Fraction)": Fraction(4),
        f"{np.float32(4)!r} (float32)": np.float32(4),
        f"{np.True_!r} ({type(np.True_).__name__})": np.True_,
        str(least - 1): least - 1,
        "-3": -3,
    }
    return [pytest.param(value, text, id=text) for text, value in shown.items()]


@pytest.mark.parametrize(("wrong", "got"), no_integers(least=1))
@pytest.mark.parametrize("make", [Append, Replace])
def test_a_capacity_that_is_no_positive_integer_is_refused(
    make: Callable[..., object], wrong: Any, got: str
) -> None:
    assert_refused(f"capacity: expected an integer >= 1, got {got}", make, wrong)


@pytest.mark.parametrize(("wrong", "got"), no_integers(least=1))
def test_a_window_that_is_no_positive_integer_is_refused(wrong: Any, got: str) -> None:
    assert_refused(f"window: expected an integer >= 1, got {got}", Circular, wrong)


@pytest.mark.parametrize(("wrong", "got"), no_integers(least=0))
@pytest.mark.parametrize("name", ["sink_tokens", "rollback_tokens"])
def test_sink_and_rollback_tokens_that_are_no_count_are_refused(
    name: str, wrong: Any, got: str
) -> None:
    assert_refused(f"{name}: expected an integer >= 0, got {got}", Circular, 4, **{name: wrong})


@pytest.mark.parametrize(("wrong", "got"), no_integers(least=1))
@pytest.mark.parametrize("name", ["layers", "kv_heads", "head_dim", "value_dim", "batch"])
def test_an_axis_of_a_cache_that_is_no_positive_integer_is_refused(
    name: str, wrong: Any, got: str
) -> None:
    if name == "value_dim" and wrong is None:
        assert KVCache(**GOOD, value_dim=None).config == KVCache(**GOOD).config
        return
    arguments = GOOD | {name: wrong}
    assert_refused(f"{name}: expected an integer >= 1, got {got}", KVCache, **arguments)


@pytest.mark.parametrize("name", ["capacity", "kv_heads", "head_dim", "value_dim", "batch"])
def test_an_axis_of_a_ring_that_is_no_positive_integer_is_refused(name: str) -> None:
    good = {"capacity": 8, "kv_heads": 3, "head_dim": 4}
    wanted = f"{name}: expected an integer >= 1, got"
    assert_refused(f"{wanted} 0", RingBuffer, **good | {name: 0})
    assert_refused(f"{wanted} 2.0 (float)", RingBuffer, **good | {name: 2.0})


@pytest.mark.parametrize("integer", [np.int64(3), np.uint8(3), np.array(3)[()]])
def test_numpy_integers_are_integers_and_are_kept_as_plain_ones(integer: Any) -> None:
    mode = Circular(integer, sink_tokens=integer, rollback_tokens=integer)
    assert mode == Circular(3, 3, 3)
    assert (type(mode.window), mode.capacity) == (int, 9)
    assert (type(Append(integer).capacity), type(Replace(integer).capacity)) == (int, int)
    cache = KVCache(layers=integer, kv_heads=integer, head_dim=integer, strategy=mode)
    assert cache.layers == cache.config.layers[2].kv_heads == 3
    assert type(cache.config.layers[0].head_dim) is int


@pytest.mark.parametrize("layers", [MOST_LAYERS + 1, 10**12, 1 << 70])
def test_more_layers_than_can_be_held_at_once_are_refused(layers: int) -> None:
    message = f"layers: expected at most {MOST_LAYERS}, got {layers}"
    assert_refused(message, KVCache, **GOOD | {"layers": layers})


# Dtypes


@pytest.mark.parametrize("signed", ["i", "u"])
@pytest.mark.parametrize("nbytes", [1, 2, 4, 8])
def test_integer_dtypes_of_every_width_are_accepted(signed: str, nbytes: int) -> None:
    assert KVCache(**GOOD, dtype=f"{signed}{nbytes}").dtype == np.dtype(f"{signed}{nbytes}")


@pytest.mark.parametrize("dtype", ["float16", np.float32, np.dtype("float64"), float, "complex64"])
def test_float_dtypes_are_accepted_however_they_are_named(dtype: Any) -> None:
    assert KVCache(**GOOD, dtype=dtype).dtype == np.dtype(dtype)
    assert KVCache(**GOOD, dtype="=f4").dtype == np.float32


@pytest.mark.parametrize(
    "name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e8m0fnu"]
)
def test_dtypes_of_ml_dtypes_are_accepted_by_name_and_as_such(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    of_package = np.dtype(getattr(ml_dtypes, name))
    for dtype in (name, of_package, of_package.type):
        assert KVCache(**GOOD, dtype=dtype).dtype == of_package


@pytest.mark.parametrize(
    "dtype",
    ["object", "bool", "complex128", "longdouble", "S4", "U1", "V4", "M8[s]", ">f4", "f4, f4"],
)
def test_dtypes_that_are_no_words_of_numbers_are_refused(dtype: str) -> None:
    found = np.dtype(dtype)
    dtype = ">f4" if dtype == ">f4" and found.isnative else dtype
    for make in (KVCache, CacheConfig.build):
        assert_refused(f"{DTYPE_WANTED}, got {found!r}", make, **GOOD, dtype=dtype)
    assert_refused(f"{DTYPE_WANTED}, got {found!r}", RingBuffer, 8, 3, 4, dtype=dtype)
    assert_refused(f"{DTYPE_WANTED}, got {found!r}", warm_up, "float32", dtype)


@pytest.mark.parametrize("name", ["int4", "uint2", "float4_e2m1fn"])
def test_dtypes_of_ml_dtypes_that_do_not_fill_their_bytes_are_refused(name: str) -> None:
    found = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name))
    assert_refused(f"{DTYPE_WANTED}, got {found!r}", KVCache, **GOOD, dtype=found)


@pytest.mark.parametrize(
    "dtype", [None, 3, "float31", "bfloat17", "float8", ("f4", -1), "(2,f4"], ids=repr
)
def test_what_is_no_dtype_is_refused(dtype: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        KVCache(**GOOD, dtype=dtype)
    assert str(caught.value).startswith(f"{DTYPE_WANTED}, got {dtype!r}")


def test_without_ml_dtypes_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)  # importing it fails now
    hint = "(bfloat16 and float8 need the package ml_dtypes)"
    assert_refused(
        f"{DTYPE_WANTED}, got 'float8_new' {hint}", RingBuffer, 8, 3, 4, dtype="float8_new"
    )


# Layouts and strategies


@pytest.mark.parametrize("layout", ["BDHS", "bshd", "", None, 4, ["BSHD"]], ids=repr)
def test_an_unknown_layout_is_refused(layout: Any) -> None:
    assert_refused(f"{LAYOUT_WANTED}, got {layout!r}", KVCache, **GOOD, layout=layout)
    assert_refused(f"{LAYOUT_WANTED}, got {layout!r}", RingBuffer, 8, 3, 4, layout=layout)


@pytest.mark.parametrize("strategy", ["append", None, 8, Append], ids=repr)
def test_an_unknown_strategy_is_refused(strategy: Any) -> None:
    wanted = f"{STRATEGY_WANTED}, got {strategy!r}"
    assert_refused(wanted, KVCache, **GOOD | {"strategy": strategy})
    assert_refused(wanted, KVCache, **GOOD | {"strategy": [Append(8), strategy]})


def test_modes_are_frozen_and_equal_by_what_they_say() -> None:
    assert Append(4) != Replace(4)
    assert {Circular(4, 1, 2), Circular(window=4, sink_tokens=1, rollback_tokens=2)} == {
        Circular(4, 1, 2)
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        Append(4).capacity = 5  # type: ignore[misc]


# One for all layers, or one per layer


@pytest.mark.parametrize(
    "as_given", [list, tuple, iter, np.array], ids=["list", "tuple", "iterator", "array"]
)
def test_axes_may_be_given_per_layer(as_given: Callable[..., Any]) -> None:
    config = CacheConfig.build(
        layers=2,
        kv_heads=as_given([1, 2]),
        head_dim=as_given([3, 4]),
        value_dim=as_given([5, 6]),
        strategy=Append(8),
    )
    assert config.layers == (LayerConfig(Append(8), 1, 3, 5), LayerConfig(Append(8), 2, 4, 6))


def test_strategies_may_be_given_per_layer_and_value_dim_follows_head_dim() -> None:
    modes: list[Mode] = [Append(8), Circular(4), Replace(2)]
    config = CacheConfig.build(layers=3, kv_heads=1, head_dim=[2, 3, 4], strategy=iter(modes))
    assert [layer.strategy for layer in config.layers] == modes
    assert [(layer.kv_heads, layer.value_dim) for layer in config.layers] == [
        (1, 2),
        (1, 3),
        (1, 4),
    ]
    assert (config.batch, config.dtype, config.layout) == (1, np.float32, "BSHD")


@pytest.mark.parametrize(
    ("name", "entries"),
    [("kv_heads", [3]), ("head_dim", [4, 4, 4]), ("value_dim", []), ("strategy", [Append(8)] * 3)],
)
def test_another_number_of_entries_than_layers_is_refused(name: str, entries: list[Any]) -> None:
    message = f"{name}: expected one for all layers or 2, one per layer, got {len(entries)}"
    assert_refused(message, KVCache, **GOOD | {name: entries})


def test_a_wrong_entry_for_one_layer_is_refused() -> None:
    message = "kv_heads: expected an integer >= 1, got 0"
    assert_refused(message, KVCache, **GOOD | {"kv_heads": [1, 0]})


def test_an_array_of_no_axes_is_one_number_for_all_layers() -> None:
    assert KVCache(**GOOD | {"kv_heads": np.array(3)}).config == KVCache(**GOOD).config


# The package


def test_every_public_name_is_there_and_no_other() -> None:
    assert dir(kvring) == sorted(kvring.__all__)
    assert all(getattr(kvring, name) is not None for name in kvring.__all__)
    with pytest.raises(AttributeError, match=r"^module 'kvring' has no attribute 'KVCash'$"):
        _ = kvring.KVCash  # type: ignore[attr-defined]
