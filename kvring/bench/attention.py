"""What is timed: attention of one query over rows that are there."""

from __future__ import annotations

import importlib
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attention_rival import AttentionSetup
from .interleave import Contestant
from .rival import Factory, UnsupportedError
from .rows import WrongRowsError

__all__ = ["attention", "given_rows"]

# A rival may compute in the storage's precision; what is exact must be exact.
TOLERANCE = {"float32": 1e-5}
COARSE = 0.02


def given_rows(setup: AttentionSetup) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Keys and values of the storage's dtype, and a query, from a fixed seed."""
    if setup.dtype == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")  # NumPy knows the name from then on
        except ImportError as error:
            raise UnsupportedError(f"bfloat16 needs ml_dtypes ({error})") from None
    random = np.random.default_rng(0)
    shape = (1, setup.rows, setup.kv_heads, setup.head_dim)
    keys, values = (random.standard_normal(shape, np.float32).astype(setup.dtype) for _ in "kv")
    return keys, values, random.standard_normal((1, 1, setup.query_heads, setup.head_dim), "f4")


def expected(
    setup: AttentionSetup, keys: Any, values: Any, query: Any
) -> tuple[NDArray[np.float64], float]:
    """Attention in float64, ``(query_heads, head_dim)``, and the largest over the values' sizes."""
    group = setup.query_heads // setup.kv_heads
    outputs, largest = [], 0.0
    for head in range(setup.kv_heads):
        rows, asked = (
            keys[0, :, head].astype(np.float64),
            query[0, 0, head * group : (head + 1) * group],
        )
        scores = asked.astype(np.float64) @ rows.T * setup.head_dim**-0.5
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        rows = values[0, :, head].astype(np.float64)
        outputs.append(weights @ rows)
        largest = max(largest, float((weights @ abs(rows)).max()))
    return np.concatenate(outputs), largest


def attention(
    factory: Factory,
    setup: AttentionSetup,
    given: Any,
    wanted: tuple[Any, float],
    opened: list[Any],
) -> Contestant:
    """One step of attention. `opened` takes the rival, to be closed when the case is over."""
    rival: Any = factory(setup)  # type: ignore[arg-type]
    opened.append(rival)
    rival.load(*given)
    if getattr(rival, "attends", True):
        _check(rival, setup, wanted)
    # The threads of one rival's library may go on looking for work for a while after its turn.
    return (
        Contestant(rival.attend, lambda: sleep(0.005))
        if setup.threads > 1
        else Contestant(rival.attend)
    )


def _check(rival: Any, setup: AttentionSetup, wanted: tuple[Any, float]) -> None:
    shown = getattr(rival, "shown", np.asarray)(rival.attend())
    output = np.asarray(shown, np.float64).reshape(setup.query_heads, setup.head_dim)
    error = float(abs(output - wanted[0]).max())
    most = TOLERANCE.get(setup.dtype, COARSE) * wanted[1]
    if not error <= most:
        raise WrongRowsError(
            f"expected attention to within {most:.1e}, got an error of {error:.1e}"
        )
