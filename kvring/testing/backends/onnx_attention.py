"""ONNX `Attention` with past and present, in onnx's reference evaluator and in onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..observations import Outputs, UnsupportedError
from ..setup import Setup
from ..supports import Supports

__all__ = ["reference", "reference_window", "runtime", "runtime_window"]

SUPPORTS = Supports(
    observes="outputs",
    modes=("append",),
    layouts=("BHSD",),
    head_dims=(64,),
    ragged=(),
    overflow="grows",
)
PAST = ("past_key", "past_value")


def model(window: int = 0) -> Any:
    """One causal attention over what was there and what is new, with a window from opset 25 on."""
    names = ["queries", "keys", "values", "", *PAST]
    results = ["output", "present_key", "present_value"]
    bounds = {"left_window_size": window - 1} if window else {}
    node = helper.make_node("Attention", names, results, is_causal=1, **bounds)

    def of(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)

    inputs = [of(name) for name in names if name]
    graph = helper.make_graph([node], "attention", inputs, [of(name) for name in results])
    opset = helper.make_opsetid("", 25 if window else 23)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def evaluated(made: Any, opset: int) -> Any:
    """What runs a model in onnx's reference evaluator."""
    if onnx.defs.onnx_opset_version() < opset:
        raise UnsupportedError(f"this release has no opset {opset}")
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(made).run


def executed(made: Any) -> Any:
    """What runs a model in onnxruntime on the CPU."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what it refuses, it says in an exception, too
    options = {"providers": ["CPUExecutionProvider"]}
    try:
        return onnxruntime.InferenceSession(made.SerializeToString(), **options).run
    except Exception as error:  # its classes have no common one
        raise UnsupportedError(f"this release does not load the model: {error}") from error


class Backend:
    """`run` computes the model; what is present is the past of the next update."""

    def __init__(self, setup: Setup, run: Any) -> None:
        self.run = run
        shape = (setup.batch, setup.kv_heads, 0)
        self.past = [
            [np.zeros((*shape, dim), np.float32) for dim in (setup.head_dim, setup.value_dim)]
            for _ in setup.strategies
        ]

    def update(self, layer: int, queries: Any, keys: Any, values: Any) -> Outputs:
        """Attention of new tokens."""
        given = {"queries": queries, "keys": keys, "values": values}
        given.update(zip(PAST, self.past[layer], strict=True))
        output, *self.past[layer] = self.run(None, given)
        return Outputs(output.swapaxes(1, 2))

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return int(self.past[layer][0].shape[2])


def reference(setup: Setup) -> Backend:
    """The reference evaluator of onnx."""
    return Backend(setup, evaluated(model(), 23))


def reference_window(setup: Setup) -> Backend:
    """The reference evaluator, with `left_window_size`."""
    return Backend(setup, evaluated(model(setup.window), 25))


def runtime(setup: Setup) -> Backend:
    """onnxruntime on the CPU."""
    return Backend(setup, executed(model()))


def runtime_window(setup: Setup) -> Backend:
    """onnxruntime on the CPU, with `left_window_size`."""
    return Backend(setup, executed(model(setup.window)))


_WINDOW = replace(SUPPORTS, modes=("circular",), most_sink_tokens=0, most_rollback_tokens=0)
for _factory, _supports in {
    reference: SUPPORTS,
    runtime: SUPPORTS,
    reference_window: _WINDOW,
    runtime_window: _WINDOW,
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
