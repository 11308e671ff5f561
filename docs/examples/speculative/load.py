"""The demo's model, and its forward pass for several sequences at once."""

import numpy as np
from model import Model, rms_norm
from numpy.typing import NDArray
from tokenizer import TextTokenizer
from weights import Floats, ModelFile, find_model_file, read_hyperparameters, read_weights

import kvring
from kvring import KVCache
from kvring.config import Mode

Tokens = NDArray[np.int64]


def load() -> tuple[Model, TextTokenizer]:
    """The model and its tokenizer."""
    file = ModelFile(find_model_file())
    shape = read_hyperparameters(file)
    return Model(shape, read_weights(file, shape.layers)), TextTokenizer(file)


def new_cache(model: Model, strategy: Mode, batch: int = 1) -> KVCache:
    """An empty cache for this model."""
    shape = model.shape
    return KVCache(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        batch=batch,
        layout="BHSD",
        strategy=strategy,
    )


def forward_batch(
    model: Model, token_ids: Tokens, cache: KVCache, token_counts: list[int] | None = None
) -> Floats:
    """Run new tokens of every sequence through all layers.

    Parameters
    ----------
    model : Model
        The demo's model.
    token_ids : int array `(batch, tokens)`
        What follows in each sequence, padded at the end where `token_counts` says so.
    cache : KVCache
        A batch row for each sequence.
    token_counts : list of int, optional
        How many of the tokens are real in each sequence; all if not given.

    Returns
    -------
    ndarray
        The last hidden state of each token, normed, `(batch, tokens, d_model)`; those of padding
        mean nothing.
    """
    batch, tokens = token_ids.shape
    # Each sequence is at a position of its own, so its new tokens are turned by angles of its own.
    positions = cache.seq_lens[0][:, None] + np.arange(tokens)
    rotations = model.rotations[np.minimum(positions, model.shape.context_tokens - 1).ravel()]
    hidden = model.weights.embedding[token_ids.ravel()]
    for layer, weights in enumerate(model.weights.layers):
        queries, keys, values = (
            array.reshape(-1, batch, tokens, model.shape.head_dim).swapaxes(0, 1)
            for array in model.project(weights, hidden, rotations)
        )
        view = cache.update(layer, keys, values, token_counts=token_counts, order="physical")
        attended = kvring.attend(queries, view).swapaxes(1, 2).reshape(batch * tokens, -1)
        hidden = hidden + attended @ weights.attention_output.T
        hidden = hidden + model.feed_forward(weights, hidden)
    normed = rms_norm(hidden, model.weights.output_norm, model.shape.norm_epsilon)
    return normed.reshape(batch, tokens, -1)


def said(name: str, same: bool, details: str) -> bool:
    """Print the outcome of a comparison, and hand it on."""
    print(f"{name}: {'identical texts' if same else 'THE TEXTS DIFFER'}; {details}", flush=True)
    return same
