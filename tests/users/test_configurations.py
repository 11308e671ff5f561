"""What RingCache makes of a configuration: kinds of layers, and layers that are not alike."""

from types import SimpleNamespace

import pytest
import torch

from kvring import ConfigError, ShapeError
from kvring.adapters.transformers import RingCache
from tests.users.tiny import feed, rows


def configuration(**numbers):
    """As far as a cache looks at one."""
    made = SimpleNamespace(num_hidden_layers=4, max_position_embeddings=64, **numbers)
    made._attn_implementation = "sdpa"
    made.get_text_config = lambda decoder: made
    return made


def test_layers_that_keep_something_else_are_refused_by_name():
    types = ["full_attention", "linear_attention", "conv", "full_attention"]
    with pytest.raises(ConfigError, match="got conv, linear_attention; use the cache that"):
        RingCache(configuration(layer_types=types))


def test_without_a_largest_position_one_must_be_given():
    config = configuration()
    config.max_position_embeddings = None
    with pytest.raises(ConfigError, match="give RingCache a capacity"):
        RingCache(config)
    assert RingCache(config, capacity=9).get_max_length(3) == 9


@pytest.mark.parametrize(
    "sharing",
    [{"kv_sharing_modes": [None, None, "reuse", "reuse"]}, {"num_kv_shared_layers": 2}],
)
def test_layers_that_use_the_rows_of_others_have_none_of_their_own(sharing):
    cache = RingCache(configuration(layer_types=["full_attention"] * 4, **sharing))
    feed(cache, [3, 1], layers=2)
    assert cache.rings.layers == 2
    assert cache.get_seq_length() == 4
    cache.crop(-1)
    assert cache.get_seq_length() == cache.get_seq_length(3) == 3
    assert cache.is_sliding == [False] * 4


def test_chunked_layers_have_the_window_of_their_chunks():
    config = configuration(attention_chunk_size=6)
    cache = RingCache(config, rollback_tokens=1)
    feed(cache, [9, 1])
    assert cache.rings.lengths.ravel().tolist() == [7] * 4
    assert cache.is_sliding == [True] * 4


@pytest.mark.parametrize("first", [3, 20])
def test_layers_may_differ_in_heads_and_widths(first):
    types = ["sliding_attention", "full_attention"] * 2
    cache = RingCache(configuration(layer_types=types, sliding_window=6), rollback_tokens=2)
    shapes = [{"kv_heads": 2, "dim": 8}, {"kv_heads": 1, "dim": 16}] * 2
    held = [[], [], [], []]
    for count in (first, 1, 1):
        for layer, shape in enumerate(shapes):
            given = rows(count, **shape)
            held[layer].append(given[0])
            cache.update(*given, layer)
    cache.rings.check()
    for layer, keys in enumerate(held):
        shown = torch.cat(keys, dim=2)
        assert cache.layers[layer].keys.equal(shown[:, :, -6:] if layer % 2 == 0 else shown)
    with pytest.raises(ShapeError, match="kv_heads=1"):
        cache.update(*rows(1), 1)
