"""LLaMA's forward pass in plain NumPy. The cache is handed in, so any cache can be tried.

Everything stays float32. A NumPy float64 scalar, such as ``np.sqrt(64)``, would turn every array
it touches into float64 and make the model many times slower; Python's own floats do not.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from attention import Attention, NumPyAttention
from caches import Cache
from numpy.typing import NDArray
from terminal import progress_bar
from weights import Floats, Hyperparameters, LayerWeights, Weights

# Scores are (query_heads, chunk, rows): 256 queries against 8,000 rows are 74 MB, once.
CHUNK_TOKENS = 256


@dataclass
class Timings:
    """Seconds spent in the parts of one forward pass, summed over its layers."""

    cache_seconds: float = 0.0
    attention_seconds: float = 0.0


class Model:
    """A LLaMA model for one sequence.

    Parameters
    ----------
    shape : Hyperparameters
        The architecture.
    weights : Weights
        The weights, float32.
    """

    def __init__(self, shape: Hyperparameters, weights: Weights) -> None:
        self.shape = shape
        self.weights = weights
        self.rotations = rope_rotations(shape)

    def forward(
        self,
        token_ids: list[int],
        cache: Cache,
        attention: Attention | None = None,
        timings: Timings | None = None,
    ) -> Floats:
        """Run new tokens through all layers and store their keys and values in the cache.

        Parameters
        ----------
        token_ids : list of int
            The tokens that follow those in the cache.
        cache : Cache
            What the model has seen so far.
        attention : Attention, optional
            How it looks at that; NumPy's best way if not given.
        timings : Timings, optional
            Where the time spent is added.

        Returns
        -------
        ndarray
            The last hidden state of each token, normed, `(tokens, d_model)`.
        """
        attention = attention or NumPyAttention()
        timings = timings or Timings()
        # Read before the first update: it is the position of the first new token.
        first_position = cache.seq_len
        rotations = self.rotations[first_position : first_position + len(token_ids)]
        hidden = self.weights.embedding[token_ids]
        for layer, weights in enumerate(self.weights.layers):
            queries, keys, values = self.project(weights, hidden, rotations)
            started = perf_counter()
            stored = (array.astype(cache.dtype, copy=False) for array in (keys, values))
            view = cache.update(layer, *stored, order="physical")
            updated = perf_counter()
            if layer == 0:
                attention.begin(view)
            attended = attention(queries, view)
            timings.cache_seconds += updated - started
            timings.attention_seconds += perf_counter() - updated
            hidden = hidden + attended @ weights.attention_output.T
            hidden = hidden + self.feed_forward(weights, hidden)
        return rms_norm(hidden, self.weights.output_norm, self.shape.norm_epsilon)

    def logits(self, hidden: Floats) -> Floats:
        """Return the score of every next token, `(tokens, vocabulary)`."""
        return hidden @ self.weights.embedding.T

    def project(
        self, weights: LayerWeights, hidden: Floats, rotations: NDArray[np.complex64]
    ) -> tuple[Floats, Floats, Floats]:
        """Return queries `(query_heads, tokens, head_dim)`, and keys and values for the cache.

        Keys and values are `(1, kv_heads, tokens, head_dim)`; queries and keys carry RoPE.
        """
        shape = self.shape
        normed = rms_norm(hidden, weights.attention_norm, shape.norm_epsilon)
        projected = normed @ weights.query_key_value.T
        by_head = projected.reshape(len(hidden), -1, shape.head_dim)
        first_value_head = shape.query_heads + shape.kv_heads
        rotated = rotate(by_head[:, :first_value_head], rotations).swapaxes(0, 1)
        values = by_head[:, first_value_head:].swapaxes(0, 1)
        return rotated[: shape.query_heads], rotated[None, shape.query_heads :], values[None]

    def feed_forward(self, weights: LayerWeights, hidden: Floats) -> Floats:
        """Return SwiGLU's output, `(tokens, d_model)`."""
        normed = rms_norm(hidden, weights.feed_forward_norm, self.shape.norm_epsilon)
        gate, up = np.split(normed @ weights.gate_up.T, 2, axis=-1)
        # gate * sigmoid(gate), written with tanh because exp would overflow for large inputs.
        activated: Floats = 0.5 * gate * (1.0 + np.tanh(0.5 * gate)) * up
        return activated @ weights.down.T


def prefill(model: Model, cache: Cache, token_ids: list[int], job: str) -> None:
    """Run a prompt through the model in chunks, which keeps the attention scores small."""
    with progress_bar(job, len(token_ids), "tokens") as progress:
        for start in range(0, len(token_ids), CHUNK_TOKENS):
            chunk = token_ids[start : start + CHUNK_TOKENS]
            model.forward(chunk, cache)
            progress.update(len(chunk))


def rms_norm(x: Floats, scale: Floats, epsilon: float) -> Floats:
    """Return `x` with its last axis brought to a root mean square of 1, then scaled."""
    root: Floats = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return x / root * scale


def rope_rotations(shape: Hyperparameters) -> NDArray[np.complex64]:
    """Return RoPE's rotation of each pair at each position, `(context_tokens, head_dim / 2)`."""
    frequencies = shape.rope_base ** (-np.arange(0, shape.head_dim, 2) / shape.head_dim)
    angles = np.outer(np.arange(shape.context_tokens), frequencies)
    rotations: NDArray[np.complex64] = np.exp(1j * angles).astype(np.complex64)
    return rotations


def rotate(x: Floats, rotations: NDArray[np.complex64]) -> Floats:
    """Rotate the pairs (2i, 2i + 1) of each head; `x` is `(tokens, any, head_dim)`.

    Two neighbours in memory are exactly one complex number, and turning it is one product.
    """
    return (x.view(np.complex64) * rotations[:, None]).view(np.float32)
