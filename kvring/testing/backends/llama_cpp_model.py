"""A tiny model with random weights: as a GGUF file for llama.cpp, and in NumPy without a cache.

Its form is that of Command R (all is seen) and of Command R7B (a window in every layer that it has
here): attention and feed-forward side by side, and an output tied to the embedding.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from typing import Any

import numpy as np
from gguf import GGUFWriter

from ..kinds.logits import VOCABULARY

__all__ = ["file_of", "logits_without_cache"]

_MATRICES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 16
WIDTH, WIDTH_KV, INNER = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM, 48
EPSILON, BASE, SCALE = 1e-5, 10000.0, 1.0
_FOLDERS: list[Any] = []  # removed when the process ends


@lru_cache
def weights(layers: int) -> dict[str, Any]:
    """By the names of the file; matrices are ``(outputs, inputs)``."""
    random = np.random.default_rng(0)

    def matrix(outputs: int, inputs: int) -> Any:
        return (random.standard_normal((outputs, inputs)) * inputs**-0.5).astype(np.float32)

    made = {"token_embd.weight": matrix(VOCABULARY, WIDTH) * 4}
    made["output_norm.weight"] = np.ones(WIDTH, np.float32)
    for n in range(layers):
        made[f"blk.{n}.attn_norm.weight"] = np.ones(WIDTH, np.float32)
        for name, outputs, inputs in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH_KV, WIDTH),
            ("attn_v", WIDTH_KV, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", INNER, WIDTH),
            ("ffn_up", INNER, WIDTH),
            ("ffn_down", WIDTH, INNER),
        ):
            made[f"blk.{n}.{name}.weight"] = matrix(outputs, inputs)
    return made


@lru_cache
def file_of(layers: int, window: int) -> str:
    """The path of a file that is there as long as this process; no window for 0."""
    folder = tempfile.TemporaryDirectory()
    _FOLDERS.append(folder)
    path = os.path.join(folder.name, "tiny.gguf")
    writer = GGUFWriter(path, "cohere2" if window else "command-r")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(layers)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_eps(EPSILON)
    writer.add_rope_freq_base(BASE)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_logit_scale(SCALE)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    if window:
        writer.add_sliding_window(window)
    for name, array in weights(layers).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits_without_cache(layers: int, token_ids: Any, mask: Any) -> Any:
    """``(1, tokens, vocabulary)`` of ``(1, tokens)`` ids, each of which sees what `mask` says."""
    made = weights(layers)
    hidden = made["token_embd.weight"][token_ids[0]]
    for n in range(layers):
        block = {name: made[f"blk.{n}.{name}.weight"] for name in _MATRICES}
        normed = norm(hidden)
        gate = normed @ block["ffn_gate"].T
        inner = gate / (1 + np.exp(-gate)) * (normed @ block["ffn_up"].T)
        hidden = hidden + attended(normed, block, mask) + inner @ block["ffn_down"].T
    return (norm(hidden) @ made["token_embd.weight"].T * SCALE)[None]


def norm(hidden: Any) -> Any:
    """Mean 0 and variance 1 in every row."""
    centred = hidden - hidden.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)


def attended(normed: Any, block: dict[str, Any], mask: Any) -> Any:
    """Attention with grouped queries."""
    tokens = len(normed)
    queries, keys, values = (
        (normed @ block[f"attn_{name}"].T).reshape(tokens, -1, HEAD_DIM) for name in "qkv"
    )
    queries, keys = rotated(queries), rotated(keys)
    keys, values = (array.repeat(HEADS // KV_HEADS, axis=1) for array in (keys, values))
    scores = np.einsum("qhd,khd->hqk", queries, keys) * HEAD_DIM**-0.5
    scores = np.where(mask, scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", shares, values).reshape(tokens, -1) @ block["attn_output"].T


def rotated(rows: Any) -> Any:
    """Neighbouring elements as pairs, by the position of the token."""
    pairs = rows.reshape(*rows.shape[:-1], -1, 2)
    steps = BASE ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = (np.arange(len(rows))[:, None] * steps)[:, None]
    cosines, sines = np.cos(angles), np.sin(angles)
    first, second = pairs[..., 0], pairs[..., 1]
    turned = np.stack([first * cosines - second * sines, first * sines + second * cosines], -1)
    return turned.reshape(rows.shape).astype(np.float32)
