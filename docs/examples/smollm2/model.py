"""LLaMA's forward pass in plain NumPy. The cache is handed in, so any cache can be tried.

Everything stays float32. A NumPy float64 scalar, such as ``np.sqrt(64)``, would turn every array
it touches into float64 and make the model many times slower; Python's own floats do not.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
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

    def forward(self, token_ids: list[int], cache: Cache, timings: Timings | None = None) -> Floats:
        """Run new tokens through all layers and store their keys and values in the cache.

        Parameters
        ----------
        token_ids : list of int
            The tokens that follow those in the cache.
        cache : Cache
            What the model has seen so far.
        timings : Timings, optional
            Where the time spent is added.

        Returns
        -------
        ndarray
            The last hidden state of each token, normed, `(tokens, d_model)`.
        """
        timings = timings or Timings()
        # Read before the first update: it is the position of the first new token.
        first_position = cache.seq_len
        rotations = self.rotations[first_position : first_position + len(token_ids)]
        hidden = self.weights.embedding[token_ids]
        for layer, weights in enumerate(self.weights.layers):
            queries, keys, values = self._project(weights, hidden, rotations)
            started = perf_counter()
            view = cache.update(layer, keys, values, order="physical")
            all_keys, all_values = view
            if layer == 0:
                # A mask depends on positions alone, and all layers hold the same positions.
                mask = useful_mask(view.mask())
            stored = perf_counter()
            attended = attend(queries, all_keys[0], all_values[0], mask)
            timings.cache_seconds += stored - started
            timings.attention_seconds += perf_counter() - stored
            hidden = hidden + attended @ weights.attention_output.T
            hidden = hidden + self._feed_forward(weights, hidden)
        return rms_norm(hidden, self.weights.output_norm, self.shape.norm_epsilon)

    def logits(self, hidden: Floats) -> Floats:
        """Return the score of every next token, `(tokens, vocabulary)`."""
        return hidden @ self.weights.embedding.T

    def _project(
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

    def _feed_forward(self, weights: LayerWeights, hidden: Floats) -> Floats:
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


def attend(queries: Floats, keys: Floats, values: Floats, mask: NDArray[np.bool_] | None) -> Floats:
    """Return softmax(queries keys^T / sqrt(head_dim)) values, for all heads side by side.

    Query heads that share a KV head stand below each other in one matrix, so that each KV head
    takes one product for its keys and one for its values, and neither is ever repeated.

    Parameters
    ----------
    queries : ndarray
        `(query_heads, tokens, head_dim)`. Query head h reads KV head h // group.
    keys, values : ndarray
        `(kv_heads, rows, head_dim)`, in any order of rows. Rows that nobody may attend to still
        enter the products with weight 0, so they must hold finite numbers.
    mask : ndarray or None
        `(tokens, rows)`, True = may attend; None when every token may attend to every row.

    Returns
    -------
    ndarray
        `(tokens, query_heads * head_dim)`.
    """
    query_heads, tokens, head_dim = queries.shape
    kv_heads, rows, _ = keys.shape
    stacked = queries.reshape(kv_heads, -1, head_dim) * head_dim**-0.5
    scores = stacked @ keys.swapaxes(1, 2)
    if mask is not None:
        by_head = scores.reshape(query_heads, tokens, rows)
        np.copyto(by_head, -np.inf, where=~mask)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    totals = scores.sum(axis=-1, keepdims=True)
    attended: Floats = (scores @ values) / totals
    return attended.reshape(query_heads, tokens, head_dim).swapaxes(0, 1).reshape(tokens, -1)


def useful_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return None for a mask that hides nothing, as for one new token in a full ring."""
    return None if mask.all() else mask


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
