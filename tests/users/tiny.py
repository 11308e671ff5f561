"""Tiny models of many architectures with random weights, and ways to run them."""

from functools import cache

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from kvring.adapters.transformers import RingCache

VOCABULARY = 97
RELEASE = tuple(map(int, transformers.__version__.split(".")[:2]))
CACHE = "cache" if RELEASE >= (5, 24) else "past_key_values"  # the argument's name
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
WINDOW = 8
MIXED = ["sliding_attention", "full_attention"] * 2
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
CONFIGURATIONS = {
    "Llama": ("LlamaConfig", {}),
    "Mistral": ("MistralConfig", {"sliding_window": WINDOW}),
    "Gemma 2": (
        "Gemma2Config",
        {"sliding_window": WINDOW, "layer_types": MIXED, "query_pre_attn_scalar": 8},
    ),
    "Gemma 3": (
        "Gemma3TextConfig",
        {"sliding_window": WINDOW, "layer_types": MIXED, "query_pre_attn_scalar": 8},
    ),
    "Qwen 3": ("Qwen3Config", {}),
    "gpt-oss": ("GptOssConfig", {"sliding_window": WINDOW, "layer_types": MIXED, **EXPERTS}),
}
# Attention of theirs that each model knows; the first is what DynamicCache runs with.
THEIRS = {"gpt-oss": ["eager"], "Gemma 2": ["eager"]}


def theirs(name):
    """Attention implementations of transformers for a model."""
    return THEIRS.get(name, ["sdpa", "eager"])


@cache
def model(name, attention, dtype=torch.float32, layers=4):
    """A model with the same weights each time, the first `layers` of its kinds of layers."""
    kind, numbers = CONFIGURATIONS[name]
    changes = {"num_hidden_layers": layers}
    if "layer_types" in numbers:
        changes["layer_types"] = numbers["layer_types"][:layers]
    config = getattr(transformers, kind)(**{**COMMON, **numbers, **changes})
    torch.manual_seed(7)
    made = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    for parameter in made.parameters():  # larger than they begin with, so that attention matters
        if parameter.ndim > 1:
            parameter.mul_(6)
    return made.eval()


def tokens(count, batch=1, seed=3):
    """Random tokens ``(batch, count)``, none of them padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCABULARY, (batch, count), generator=generator)


def run(of_model, into, ids, **more):
    """One forward pass into a cache."""
    return of_model(ids, **{CACHE: into}, use_cache=True, **more).logits


def generated(of_model, into, ids, count=40, **more):
    """What `generate` returns, logits and all."""
    return of_model.generate(
        ids,
        **{CACHE: into},
        max_new_tokens=count,
        return_dict_in_generate=True,
        output_logits=True,
        **{"do_sample": False, **more},
    )


def dynamic(of_model):
    """The default cache of `generate`."""
    return DynamicCache(config=of_model.config)


def ring(of_model, **more):
    """The cache that is tested."""
    return RingCache(of_model.config, **more)


def furthest(first, second):
    """The largest difference between logits."""
    pairs = zip(first.logits, second.logits, strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def rows(count, batch=1, kv_heads=2, dim=8, dtype=torch.float32):
    """K and V of some tokens."""
    made = torch.randn(2, batch, kv_heads, count, dim).to(dtype)
    return made[0], made[1]


def feed(cache, counts, layers=4, **more):
    """Updates of every layer; the last layer's last result."""
    for count in counts:
        cache.get_mask_sizes(count)
        for layer in range(layers):
            shown = cache.update(*rows(count, **more), layer)
    return shown
