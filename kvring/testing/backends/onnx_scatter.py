"""ONNX `TensorScatter` with `Attention` over the whole buffer, in onnx's evaluator and onnxruntime.

The cache is a buffer outside the operators: the scatter writes new rows where the model says, and
the attention is told how many rows are no padding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ..observations import Outputs
from ..setup import Setup
from .onnx_attention import SUPPORTS, evaluated, executed

__all__ = ["reference", "reference_circular", "runtime", "runtime_circular"]

LONG = 72  # longer than any history of outputs
FLOATS = ("queries", "keys", "values", "past_keys", "past_values")
COUNTS = ("first", "filled")
RESULTS = ("output", "present_keys", "present_values")


def model(mode: str) -> Any:
    """Write K and V, then attend; causality is by position, and in a ring by what is in it."""
    scattered = [
        helper.make_node(
            "TensorScatter", [f"past_{what}", what, "first"], [f"present_{what}"], mode=mode
        )
        for what in ("keys", "values")
    ]
    seen = ["queries", "present_keys", "present_values", "", "", "", "filled"]
    causal = int(mode == "linear")
    attention = helper.make_node("Attention", seen, ["output"], is_causal=causal)
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * 4) for n in FLOATS]
    inputs += [helper.make_tensor_value_info(n, TensorProto.INT64, [None]) for n in COUNTS]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * 4) for n in RESULTS]
    graph = helper.make_graph([*scattered, attention], "cache", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=11)


class Backend:
    """`run` computes the model; `slots` is the length of the buffer."""

    def __init__(self, setup: Setup, run: Any, slots: int) -> None:
        self.run, self.slots = run, slots
        shape = (setup.batch, setup.kv_heads, slots)
        self.seen = [0] * setup.layers
        self.buffers = [
            [np.zeros((*shape, dim), np.float32) for dim in (setup.head_dim, setup.value_dim)]
            for _ in setup.strategies
        ]

    def update(self, layer: int, queries: Any, keys: Any, values: Any) -> Outputs:
        """Attention of new tokens."""
        batch, _, tokens, _ = keys.shape
        total = self.seen[layer] + tokens
        counts = {"first": self.seen[layer], "filled": min(total, self.slots)}
        given = {name: np.full(batch, count, np.int64) for name, count in counts.items()}
        given.update(zip(FLOATS, (queries, keys, values, *self.buffers[layer]), strict=True))
        output, *self.buffers[layer] = self.run(None, given)
        self.seen[layer] = total
        return Outputs(output.swapaxes(1, 2))

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return self.seen[layer]


class Linear(Backend):
    """Tokens are dropped by counting fewer: what is beyond is padding."""

    def truncate(self, seq_len: int) -> None:
        """Of all layers, nothing of which is in the operators."""
        if not 0 <= seq_len <= min(self.seen):
            raise IndexError("there is nothing to drop")
        self.seen = [seq_len] * len(self.seen)


def reference(setup: Setup) -> Backend:
    """The reference evaluator of onnx, with a buffer longer than any history."""
    return Linear(setup, evaluated(model("linear"), 24), LONG)


def runtime(setup: Setup) -> Backend:
    """onnxruntime on the CPU, with a buffer longer than any history."""
    return Linear(setup, executed(model("linear")), LONG)


def reference_circular(setup: Setup) -> Backend:
    """The reference evaluator, with a ring as long as the window."""
    return Backend(setup, evaluated(model("circular"), 24), setup.window)


def runtime_circular(setup: Setup) -> Backend:
    """onnxruntime on the CPU, with a ring as long as the window."""
    return Backend(setup, executed(model("circular")), setup.window)


_RING = replace(
    SUPPORTS,
    modes=("circular",),
    most_sink_tokens=0,
    most_rollback_tokens=0,
    most_chunk=1,  # a chunk would overwrite what its first queries see
)
for _factory, _supports in {
    reference: SUPPORTS,
    runtime: SUPPORTS,
    reference_circular: _RING,
    runtime_circular: _RING,
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
