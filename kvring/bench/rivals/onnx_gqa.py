"""onnxruntime's CPU GroupQueryAttention: one operator, past and present in one shared buffer."""

from __future__ import annotations

from typing import Any

from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.rival import UnsupportedError

__all__ = ["GroupQuery"]


class GroupQuery:
    """A model of a single node. Each run also writes the newest row, as the operator does."""

    def __init__(self, setup: AttentionSetup) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise UnsupportedError(f"needs onnx and onnxruntime ({error})") from None
        if setup.dtype not in ("float32", "float16"):
            raise UnsupportedError(f"has no {setup.dtype} on the CPU")
        self._setup = setup
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setup.threads
        options.log_severity_level = 3
        model = _model(onnx, setup).SerializeToString()
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """Bind everything once; present is the same memory as past."""
        import numpy as np

        setup, value = self._setup, self._value
        past = [value(rows.swapaxes(1, 2).copy()) for rows in (keys, values)]
        inputs = {
            "query": value(query.reshape(1, 1, -1).astype(setup.dtype)),
            "key": value(keys[:, -1:].reshape(1, 1, -1).copy()),
            "value": value(values[:, -1:].reshape(1, 1, -1).copy()),
            "past_key": past[0],
            "past_value": past[1],
            "seqlens_k": value(np.array([setup.rows - 1], np.int32)),
            "total_sequence_length": value(np.array([setup.rows], np.int32)),
        }
        self._output = value(np.zeros((1, 1, setup.query_heads * setup.head_dim), setup.dtype))
        self._binding = self._session.io_binding()
        for name, bound in inputs.items():
            self._binding.bind_ortvalue_input(name, bound)
        outputs = {"output": self._output, "present_key": past[0], "present_value": past[1]}
        for name, bound in outputs.items():
            self._binding.bind_ortvalue_output(name, bound)

    def attend(self) -> Any:
        """One run of the session."""
        self._session.run_with_iobinding(self._binding)
        return self._output

    def shown(self, output: Any) -> Any:
        """As an array."""
        return output.numpy()


def _model(onnx: Any, setup: AttentionSetup) -> Any:
    """A graph with the operator alone."""
    make = onnx.helper
    floats = onnx.TensorProto.FLOAT if setup.dtype == "float32" else onnx.TensorProto.FLOAT16
    width, kv_width = setup.query_heads * setup.head_dim, setup.kv_heads * setup.head_dim
    stored = [1, setup.kv_heads, setup.rows, setup.head_dim]

    def info(name: str, shape: list[int], kind: int = floats) -> Any:
        return make.make_tensor_value_info(name, kind, shape)

    whole = onnx.TensorProto.INT32
    inputs = [
        info("query", [1, 1, width]),
        info("key", [1, 1, kv_width]),
        info("value", [1, 1, kv_width]),
        info("past_key", stored),
        info("past_value", stored),
        info("seqlens_k", [1], whole),
        info("total_sequence_length", [1], whole),
    ]
    outputs = [info("output", [1, 1, width])]
    outputs += [info("present_key", stored), info("present_value", stored)]
    node = make.make_node(
        "GroupQueryAttention",
        [given.name for given in inputs],
        [given.name for given in outputs],
        domain="com.microsoft",
        num_heads=setup.query_heads,
        kv_num_heads=setup.kv_heads,
    )
    graph = make.make_graph([node], "one step", inputs, outputs)
    versions = [make.make_opsetid("", 17), make.make_opsetid("com.microsoft", 1)]
    return make.make_model(graph, opset_imports=versions, ir_version=8)
