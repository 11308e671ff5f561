"""litgpt's caches inside a model of two small layers with random weights, seen through its logits.

The model without a cache is the same one, its blocks called with the oracle's mask.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from litgpt import GPT, Config

from ..kinds.logits import VOCABULARY
from ..observations import Logits, UnsupportedError
from ..setup import Setup
from ..supports import Supports

__all__ = ["full", "latent", "sliding", "sliding_one_by_one", "softcapped"]

LONG = 96  # longer than any history
SUPPORTS = Supports(
    observes="logits",
    modes=("append",),
    ragged=("right",),
    overflow="grows",
    without={"wrong_shapes": "token ids have none"},
)


def config(setup: Setup, **options: Any) -> Config:
    """A model in which every layer attends alike."""
    options.setdefault("n_query_groups", setup.kv_heads)
    return Config(
        block_size=LONG,
        vocab_size=VOCABULARY,
        padded_vocab_size=VOCABULARY,
        n_layer=setup.layers,
        n_head=2 * setup.kv_heads,
        n_embd=16 * setup.kv_heads,
        head_size=8,
        rotary_percentage=1.0,
        **options,
    )


def weights(model: GPT) -> GPT:
    """Random, and large enough that attention is no mean of everything."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


class Backend:
    """A model with a cache, and one that has the same weights and no window."""

    def __init__(self, setup: Setup, with_cache: Config, without: Config) -> None:
        self.model, self.plain = weights(GPT(with_cache)), weights(GPT(without))
        self.batch = setup.batch
        self.seen: Any = np.zeros(setup.batch, np.int64)
        self.reset()

    def update(
        self, token_ids: Any, token_counts: list[int] | None = None, padding: str = "right"
    ) -> Logits:
        """As `litgpt.generate` calls the model; padding is written over by what comes next."""
        tokens = token_ids.shape[1]
        self.check_chunk(tokens)
        places = torch.from_numpy(self.seen[:, None] + np.arange(tokens))
        if len(set(self.seen.tolist())) == 1:
            places = places[0]
        with torch.no_grad():
            ids = torch.from_numpy(token_ids.copy())
            logits = self.model(ids, places, input_pos_maxp1=int(places.max()) + 1)
        self.seen = self.seen + (tokens if token_counts is None else np.array(token_counts))
        return Logits(logits.numpy())

    def check_chunk(self, tokens: int) -> None:
        """Any number of tokens is fine."""

    def uncached(self, token_ids: Any, mask: Any) -> Any:
        """Blocks one after the other, with a mask of ours."""
        model, tokens = self.plain, token_ids.shape[1]
        seen = torch.from_numpy(mask.copy())
        least = torch.finfo(torch.float32).min
        added = torch.zeros(seen.shape).masked_fill_(~seen, least)[None, None]
        with torch.no_grad():
            hidden = model.transformer.wte(torch.from_numpy(token_ids.copy()))
            cos, sin = model.cos[:tokens][None], model.sin[:tokens][None]
            for block in model.transformer.h:
                hidden = block(hidden, cos, sin, added)
            return model.lm_head(model.transformer.ln_f(hidden)).numpy()

    def seq_len(self, layer: int) -> Any:
        """Tokens seen per batch row, which the caller counts."""
        return self.seen.copy()

    def reset(self) -> None:
        """Between two prompts."""
        self.model.clear_kv_cache()
        self.model.set_kv_cache(self.batch)
        self.seen = np.zeros(self.batch, np.int64)

    def copy(self) -> Backend:
        """The model and its buffers."""
        return copy.deepcopy(self)


class Full(Backend):
    """Positions may be taken again: what is there is written over, and masked until then."""

    def truncate(self, seq_len: int | list[int]) -> None:
        """Nothing of it is in the cache."""
        wanted = np.broadcast_to(np.array(seq_len), self.seen.shape)
        if (wanted < 0).any() or (wanted > self.seen).any():
            raise IndexError("there is nothing to drop")
        self.seen = wanted.copy()


class Sliding(Backend):
    """Chunks as long as the error of longer ones recommends."""

    def check_chunk(self, tokens: int) -> None:
        """No longer than the window."""
        if tokens > self.model.config.sliding_window_size:
            raise UnsupportedError("chunks are no longer than the window")


def full(setup: Setup) -> Backend:
    """Attention to everything, with grouped queries."""
    made = config(setup)
    return Full(setup, made, made)


def softcapped(setup: Setup) -> Backend:
    """The same with a soft cap, as Gemma 2 has one."""
    made = config(setup, attention_logit_softcapping=5.0)
    return Full(setup, made, made)


def latent(setup: Setup) -> Backend:
    """Multi-head latent attention, as DeepSeek has it."""
    sizes = {"q_lora_rank": 8, "kv_lora_rank": 8, "v_head_dim": 8}
    sizes.update(qk_rope_head_dim=4, qk_nope_head_dim=4)
    made = config(setup, latent_attention=sizes, n_query_groups=2 * setup.kv_heads)
    return Full(setup, made, made)


def sliding(setup: Setup) -> Backend:
    """Rings of the window's size in all layers."""
    window = {"sliding_window_size": setup.window, "sliding_window_indices": [1] * setup.layers}
    return Sliding(setup, config(setup, **window), config(setup))


def sliding_one_by_one(setup: Setup) -> Backend:
    """The same, token after token."""
    return sliding(setup)


_RING = replace(
    SUPPORTS, ragged=(), modes=("circular",), most_sink_tokens=0, most_rollback_tokens=0
)
for _factory, _supports in {
    full: SUPPORTS,
    latent: SUPPORTS,
    softcapped: SUPPORTS,
    sliding: _RING,
    sliding_one_by_one: replace(_RING, most_chunk=1),
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
