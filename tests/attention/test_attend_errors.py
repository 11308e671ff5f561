"""attend and merge_attention refuse what does not fit, in full sentences, and write nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kvring import (
    Append,
    ConfigError,
    DTypeError,
    KVCache,
    ShapeError,
    StaleViewError,
    attend,
    merge_attention,
)

FLOATS = np.float32


def a_view(**arguments: Any) -> Any:
    kinds = {"dtype": "float32", "layout": "BSHD"} | arguments
    cache = KVCache(layers=1, kv_heads=2, head_dim=4, value_dim=3, strategy=Append(4), **kinds)
    axes = (1, 3, 2) if kinds["layout"] == "BSHD" else (1, 2, 3)
    keys, values = (np.ones((*axes, dim), cache.dtype) for dim in (4, 3))
    return cache.update(0, keys, values)


def zeros(*shape: int, dtype: Any = FLOATS) -> Any:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("query", "error", "text"),
    [
        (
            zeros(1, 3, 3, 4),
            ShapeError,
            "query: expected a multiple of kv_heads=2 query heads on axis 2, got 3",
        ),
        (
            zeros(1, 3, 0, 4),
            ShapeError,
            "query: expected a multiple of kv_heads=2 query heads on axis 2, got 0",
        ),
        (zeros(1, 3, 2, 5), ShapeError, "query: expected head_dim=4 on axis 3, got 5"),
        (zeros(1, 2, 2, 4), ShapeError, "query: expected queries=3 on axis 1, got 2"),
        (zeros(2, 3, 2, 4), ShapeError, "query: expected batch=1 on axis 0, got 2"),
        (
            zeros(3, 2, 4),
            ShapeError,
            "query: expected 4 axes (batch, queries, query_heads, head_dim), got shape (3, 2, 4)",
        ),
        (
            zeros(1, 3, 2, 4, dtype="float64"),
            DTypeError,
            "query: expected float32, got float64; use query.astype('float32')",
        ),
        (
            zeros(1, 3, 2, 4, dtype=">f4"),
            DTypeError,
            "query: expected float32, got >f4; use query.astype('float32')",
        ),
        ([[0.0]], DTypeError, "query: expected a numpy.ndarray, got list"),
        (
            np.ma.zeros((1, 3, 2, 4), FLOATS),
            DTypeError,
            "query: expected a numpy.ndarray, got MaskedArray",
        ),
    ],
)
def test_a_query_that_does_not_fit(query: Any, error: Any, text: str) -> None:
    out = np.full((1, 3, 2, 3), 7, FLOATS)
    with pytest.raises(error) as caught:
        attend(query, a_view(), out=out)
    assert str(caught.value) == text
    assert (out == 7).all()


def test_the_axes_of_the_other_layout_are_named() -> None:
    with pytest.raises(ShapeError) as caught:
        attend(zeros(1, 3, 2, 4), a_view(layout="BHSD"))
    text = "query: expected a multiple of kv_heads=2 query heads on axis 1, got 3"
    assert str(caught.value) == text
    with pytest.raises(ShapeError) as caught:
        attend(zeros(4), a_view(layout="BHSD"))
    assert "(batch, query_heads, queries, head_dim), got shape (4,)" in str(caught.value)


def test_a_query_of_half_the_width_is_taken_only_by_storage_like_it() -> None:
    query = zeros(1, 3, 2, 4, dtype="float16")
    assert attend(query, a_view(dtype="float16")).dtype == FLOATS
    text = "query: expected float32, got float16"
    with pytest.raises(DTypeError, match=text):
        attend(query, a_view())


@pytest.mark.parametrize("dtype", ["float64", "int8", "uint16"])
def test_storage_that_attention_does_not_read(dtype: str) -> None:
    with pytest.raises(DTypeError) as caught:
        attend(zeros(1, 3, 2, 4), a_view(dtype=dtype))
    text = f"view: expected storage of float32, float16, bfloat16, got {dtype}"
    assert str(caught.value) == text


def test_a_stale_view_is_refused_and_its_copy_is_not() -> None:
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
    row = zeros(1, 1, 1, 1)
    view = cache.update(0, row, row)
    kept = view.copy()
    cache.update(0, row, row)
    out = np.full((1, 1, 1, 1), 7, FLOATS)
    with pytest.raises(StaleViewError):
        attend(row, view, out=out)
    assert (out == 7).all()
    assert (attend(row, kept, out=out) == 0).all()


def test_what_is_no_view() -> None:
    with pytest.raises(DTypeError, match="view: expected a KVView, got tuple"):
        attend(zeros(1, 1, 1, 1), (zeros(1, 1, 1, 1),) * 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"threads": 0}, ConfigError, "threads: expected an integer >= 1, got 0"),
        ({"threads": True}, ConfigError, "threads: expected an integer >= 1, got True (bool)"),
        ({"threads": 1.0}, ConfigError, "threads: expected an integer >= 1, got 1.0 (float)"),
        ({"weights": 1}, ConfigError, "weights: expected True or False, got 1"),
        ({"lse": None}, ConfigError, "lse: expected True or False, got None"),
        ({"scale": "1"}, DTypeError, "scale: expected a number, got '1'"),
        ({"scale": [1, 2]}, DTypeError, "scale: expected a number, got [1, 2]"),
        ({"scale": float("nan")}, ConfigError, "scale: expected a finite float32, got nan"),
        ({"scale": 1e300}, ConfigError, "scale: expected a finite float32, got 1e+300"),
        (
            {"scale": 10**99},
            ConfigError,
            f"scale: expected a finite float32, got {str(10**99)[:80]}",
        ),
        ({"softcap": 0}, ConfigError, "softcap: expected a finite float32 above 0, got 0"),
        (
            {"sink_logits": zeros(3)},
            ShapeError,
            "sink_logits: expected shape (2,), got (3,)",
        ),
        (
            {"sink_logits": zeros(2, dtype="float64")},
            DTypeError,
            "sink_logits: expected float32, got float64",
        ),
        ({"sink_logits": [0, 0]}, DTypeError, "sink_logits: expected a numpy.ndarray, got list"),
        (
            {"sink_logits": zeros(4)[::2]},
            ConfigError,
            "sink_logits: expected a contiguous array; use np.ascontiguousarray(sink_logits)",
        ),
        (
            {"out": zeros(1, 3, 2, 4)},
            ShapeError,
            "out: expected shape (1, 3, 2, 3), got (1, 3, 2, 4)",
        ),
        (
            {"out": zeros(1, 3, 2, 3, dtype="float64")},
            DTypeError,
            "out: expected float32, got float64",
        ),
        (
            {"out": zeros(1, 3, 2, 6)[..., ::2]},
            ConfigError,
            "out: expected a contiguous array; use np.ascontiguousarray(out)",
        ),
        (
            {"out": np.broadcast_to(zeros(1), (1, 3, 2, 3)).copy().view(np.ma.MaskedArray)},
            DTypeError,
            "out: expected a numpy.ndarray, got MaskedArray",
        ),
    ],
)
def test_an_option_that_does_not_fit(options: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        attend(zeros(1, 3, 2, 4), a_view(), **options)
    assert str(caught.value) == text


def test_out_that_cannot_be_written_to() -> None:
    out = zeros(1, 3, 2, 3)
    out.flags.writeable = False
    with pytest.raises(ConfigError, match="out: expected an array that can be written to"):
        attend(zeros(1, 3, 2, 4), a_view(), out=out)


def test_out_that_shares_memory_with_what_is_read() -> None:
    memory = np.full(1 * 3 * 2 * 4, 7, FLOATS)
    cache = KVCache(layers=1, kv_heads=2, head_dim=4, value_dim=3, strategy=Append(4))
    view = cache.update(0, zeros(1, 3, 2, 4), zeros(1, 3, 2, 3))
    query, over = memory.reshape(1, 3, 2, 4), memory[:18].reshape(1, 3, 2, 3)
    in_storage = [ring.reshape(-1)[:18].reshape(1, 3, 2, 3) for ring in stored(cache)]
    for out in (over, *in_storage):
        before = out.copy()
        with pytest.raises(ConfigError, match="out: expected memory of its own, got some of"):
            attend(query, view, out=out)
        assert (out == before).all()


def stored(cache: KVCache) -> list[Any]:
    """The memory of K and V itself, which no caller has."""
    return [cache.rings[0]._keys, cache.rings[0]._values]


@pytest.mark.parametrize(
    ("outputs", "lses", "error", "text"),
    [
        ([], [], ShapeError, "expected one lse for each of one or more, got 0 outputs and 0 lses"),
        (
            [zeros(1, 2)],
            [],
            ShapeError,
            "expected one lse for each of one or more, got 1 outputs and 0 lses",
        ),
        (
            [zeros(1, 2), zeros(1, 3)],
            [zeros(1), zeros(1)],
            ShapeError,
            "expected (1, 2) and its lse, got (1, 3) and (1,)",
        ),
        (
            [zeros(1, 2)],
            [zeros(2)],
            ShapeError,
            "expected (1, 2) and its lse, got (1, 2) and (2,)",
        ),
        (
            [zeros(1, 2, dtype="float64")],
            [zeros(1)],
            DTypeError,
            "expected float32 arrays in outputs, got float64",
        ),
        ([zeros(1, 2)], [[0.0]], DTypeError, "expected float32 arrays in lses, got list"),
        (5, [], DTypeError, "expected a list of arrays for outputs, got int"),
    ],
)
def test_parts_that_do_not_fit(outputs: Any, lses: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        merge_attention(outputs, lses)
    assert str(caught.value) == f"merge_attention: {text}"
