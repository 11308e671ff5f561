"""onnxruntime's `GroupQueryAttention` on the CPU: full caches, windows, and window-sized caches.

The operator keeps nothing: what is present after one call is the past of the next, and the caller
says how many tokens there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ..observations import Outputs, UnsupportedError
from ..setup import Setup
from .onnx_attention import SUPPORTS, executed

__all__ = ["full", "growing", "padded", "window", "windowed_cache", "windowed_cache_padded"]

LONG = 72  # longer than any history of outputs
OPERATOR = "GroupQueryAttention"
INPUTS = ["query", "key", "value", "past_key", "past_value", "seqlens_k", "total_sequence_length"]
COUNTED = "query_seqlens"  # how many new tokens of each batch row are no padding
RESULTS = ("output", "present_key", "present_value")


def schema() -> Any:
    """What this release says that the operator takes."""
    return next(one for one in state.get_all_operator_schema() if one.name == OPERATOR)


def model(setup: Setup, padded: bool, attributes: dict[str, int]) -> Any:
    """The operator by itself."""
    known = schema()
    lacking = [name for name in attributes if name not in known.attributes]
    names = [argument.name for argument in known.inputs]
    if lacking or (padded and COUNTED not in names):
        raise UnsupportedError(f"this release has no {', '.join(lacking) or COUNTED}")
    used = [*INPUTS, COUNTED] if padded else INPUTS
    listed = [name if name in used else "" for name in names]
    while not listed[-1]:
        listed.pop()
    heads = {"num_heads": setup.kv_heads, "kv_num_heads": setup.kv_heads, **attributes}
    node = helper.make_node(OPERATOR, listed, RESULTS, domain="com.microsoft", **heads)
    graph = helper.make_graph([node], "attention", [of(n) for n in used], [of(n) for n in RESULTS])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def of(name: str) -> Any:
    """An input or output: counts are integers, one a batch row or one in all."""
    axes = {"seqlens_k": 1, COUNTED: 1, "total_sequence_length": 0, "output": 3}.get(name)
    if axes is None:
        axes = 3 if name in ("query", "key", "value") else 4
    kind = TensorProto.INT32 if axes < 2 else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, [None] * axes)


class Backend:
    """Past and counts of each layer; `slots` is the length of the buffer, 0 for one that grows."""

    def __init__(self, setup: Setup, slots: int, padded: bool = False, **attributes: int) -> None:
        self.run = executed(model(setup, padded, attributes))
        self.slots, self.padded = slots, padded
        self.heads = setup.kv_heads
        self.seen = np.zeros((setup.layers, setup.batch), np.int32)
        shape = (setup.batch, setup.kv_heads, slots)
        self.past = [
            [np.zeros((*shape, dim), np.float32) for dim in (setup.head_dim, setup.value_dim)]
            for _ in setup.strategies
        ]

    def update(
        self,
        layer: int,
        queries: Any,
        keys: Any,
        values: Any,
        token_counts: list[int] | None = None,
        padding: str = "right",
    ) -> Outputs:
        """Attention of new tokens."""
        batch, tokens = keys.shape[0], keys.shape[2]
        counts = np.array(token_counts or [tokens] * batch, np.int32)
        total = self.seen[layer] + counts
        if not self.padded and tokens > 1 and batch > 1 and self.seen[layer].any():
            raise UnsupportedError("without query_seqlens, chunks after the first are for batch 1")
        if not total.all():
            raise UnsupportedError("there is no count for a cache that holds nothing")
        given = dict(zip(INPUTS[:3], map(joined, (queries, keys, values)), strict=True))
        given.update(zip(INPUTS[3:5], self.past[layer], strict=True))
        given["seqlens_k"] = total - 1
        # An upper bound where new tokens are counted, otherwise the total.
        bound = max(int(total.max()), self.slots if self.padded else 0)
        given["total_sequence_length"] = np.array(bound, np.int32)
        if self.padded:
            given[COUNTED] = counts
        output, *self.past[layer] = self.run(None, given)
        self.seen[layer] = total
        return Outputs(output.reshape(batch, tokens, self.heads, -1))

    def seq_len(self, layer: int) -> Any:
        """Tokens seen, per batch row."""
        return self.seen[layer].copy()


class Rewound(Backend):
    """Tokens are dropped by counting fewer; the buffer stays as it is."""

    def truncate(self, seq_len: int | list[int]) -> None:
        """Of all layers, nothing of which is in the operator."""
        wanted = np.broadcast_to(np.array(seq_len, np.int32), self.seen.shape)
        if (wanted < 0).any() or (wanted > self.seen).any():
            raise IndexError("there is nothing to drop")
        self.check_exact(wanted)
        self.seen = wanted.copy()

    def check_exact(self, wanted: Any) -> None:
        """Everything is still there."""


class Windowed(Rewound):
    """A buffer of the window and more: what is resident follows from the number of tokens."""

    def __init__(self, setup: Setup, slots: int, padded: bool = False) -> None:
        width = setup.window
        super().__init__(setup, slots, padded, local_window_size=width, sliding_window_cache=1)
        self.at_once = slots - width + 1  # rows that are reclaimed together

    def resident(self, tokens: Any) -> Any:
        """As the operator's documentation has it."""
        blocks = -(-(tokens - self.slots) // self.at_once)
        return tokens - self.at_once * np.maximum(blocks, 0)

    def check_exact(self, wanted: Any) -> None:
        """The condition of the operator's documentation."""
        back = self.seen - wanted
        if (self.resident(wanted) != self.resident(self.seen) - back).any():
            raise RuntimeError("the window has to be filled again")


def joined(array: Any) -> Any:
    """``(batch, heads, tokens, dim)`` as ``(batch, tokens, heads * dim)``."""
    return np.ascontiguousarray(array.swapaxes(1, 2).reshape(len(array), array.shape[2], -1))


def growing(setup: Setup) -> Backend:
    """A past as long as there are tokens."""
    return Backend(setup, 0)


def full(setup: Setup) -> Backend:
    """A buffer longer than any history."""
    return Rewound(setup, LONG)


def padded(setup: Setup) -> Backend:
    """The same with `query_seqlens`: batch rows of different lengths."""
    return Rewound(setup, 2 * LONG, padded=True)


def window(setup: Setup) -> Backend:
    """The same with `local_window_size`: older rows are there, and masked."""
    return Rewound(setup, LONG, local_window_size=setup.window)


def windowed_cache(setup: Setup) -> Backend:
    """`sliding_window_cache` with two rows more than the window, which go three at a time."""
    return Windowed(setup, setup.window + 2)


def windowed_cache_padded(setup: Setup) -> Backend:
    """The same with `query_seqlens`, and no row more than the window."""
    return Windowed(setup, setup.window, padded=True)


_FULL = replace(SUPPORTS, ragged=("right",))
_WINDOW = replace(
    SUPPORTS,
    modes=("circular",),
    most_sink_tokens=0,
    most_rollback_tokens=0,
    truncate="may_refuse",
)
for _factory, _supports in {
    growing: SUPPORTS,
    full: SUPPORTS,
    padded: _FULL,
    window: replace(_WINDOW, truncate="at_least"),
    windowed_cache: _WINDOW,
    windowed_cache_padded: replace(_WINDOW, ragged=("right",)),
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
