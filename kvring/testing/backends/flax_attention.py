"""Attention of flax nnx in decode mode, its projections set to pass on what they get."""

from __future__ import annotations

import copy
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..observations import Outputs, UnsupportedError
from ..setup import Setup
from ..supports import Supports

__all__ = ["causal", "decode", "viewed"]

LONG = 72  # longer than any history of outputs
SUPPORTS = Supports(
    observes="outputs",
    modes=("append",),
    layouts=("BSHD",),
    head_dims=(64,),
    ragged=(),
    overflow="grows",
    most_chunk=1,  # as `init_cache` says
)


def attention(setup: Setup, decode: bool = True) -> Any:
    """One attention; queries, keys and values are handed in apart."""
    width = setup.kv_heads * setup.head_dim
    made = nnx.MultiHeadAttention(
        num_heads=setup.kv_heads,
        in_features=width,
        use_bias=False,
        decode=decode,
        rngs=nnx.Rngs(0),
    )
    same = jnp.eye(width)
    for projection in (made.query, made.key, made.value, made.out):
        kernel = projection.kernel
        kernel.value = same.reshape(kernel.value.shape)
    return made


class Backend:
    """One attention per layer."""

    def __init__(self, layers: list[Any], setup: Setup, **options: Any) -> None:
        self.layers, self.options, self.heads = layers, options, setup.kv_heads
        self.shape = (setup.batch, LONG, setup.kv_heads * setup.head_dim)

    def update(self, layer: int, queries: Any, keys: Any, values: Any) -> Outputs:
        """Attention of one new token."""
        batch, tokens = keys.shape[:2]
        given = (array.reshape(batch, tokens, -1) for array in (queries, keys, values))
        output = self.layers[layer](*map(jnp.asarray, given), **self.options)
        return Outputs(np.array(output).reshape(batch, tokens, self.heads, -1))

    def seq_len(self, layer: int) -> int:
        """Tokens seen."""
        return int(self.layers[layer].cache_index.value)

    def reset(self) -> None:
        """A new cache in the same module."""
        for layer in self.layers:
            layer.init_cache(self.shape)

    def copy(self) -> Backend:
        """The modules and what they hold."""
        copied = copy.copy(self)
        copied.layers = [nnx.clone(layer) for layer in self.layers]
        return copied

    def save_and_load(self) -> Backend:
        """Through the state of the modules, as checkpoints have it."""
        loaded = copy.copy(self)
        loaded.layers = []
        for layer in self.layers:
            definition, state = nnx.split(layer)
            loaded.layers.append(nnx.merge(definition, state))
        return loaded


def decode(setup: Setup) -> Backend:
    """As the documentation has it: `init_cache`, then token after token."""
    backend = Backend([attention(setup) for _ in setup.strategies], setup)
    backend.reset()
    return backend


def causal(setup: Setup) -> Backend:
    """The same with `is_causal`, as models pass it on in training and decoding alike."""
    backend = Backend([attention(setup) for _ in setup.strategies], setup, is_causal=True)
    backend.reset()
    return backend


def viewed(setup: Setup) -> Backend:
    """A module made for training, of which `nnx.view` makes one that decodes."""
    if not hasattr(nnx, "view"):
        raise UnsupportedError("this release has no view")
    sizes = {"batch_size": setup.batch, "max_length": LONG}
    made = [nnx.view(attention(setup, False), decode=True, **sizes) for _ in setup.strategies]
    return Backend(made, setup)


for _factory in (decode, causal, viewed):
    _factory.supports = SUPPORTS  # type: ignore[attr-defined]
