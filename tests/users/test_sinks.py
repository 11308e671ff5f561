"""Sinks and windows of our own, against a model that sees the whole text under an explicit mask."""

import pytest
import torch

from kvring import ConfigError
from tests.users.tiny import (
    CONFIGURATIONS,
    WINDOW,
    dynamic,
    furthest,
    generated,
    model,
    ring,
    run,
    tokens,
)

SINKS = 3


def visible(count, window, sink_tokens=0):
    """Who sees what in a text of `count` tokens: bool ``(1, 1, count, count)``."""
    query, key = torch.arange(count)[:, None], torch.arange(count)[None]
    seen = (key <= query) & ((key > query - window) | (key < sink_tokens))
    return seen[None, None]


def at_once(of_model, ids, **masks):
    """Logits of the whole text in one pass, with these masks and no cache."""
    return of_model(ids, attention_mask=masks or None, use_cache=False).logits


@pytest.mark.parametrize("rollback_tokens", [0, 5])
@pytest.mark.parametrize("sink_tokens", [0, SINKS])
def test_a_window_for_a_model_that_has_none(rollback_tokens, sink_tokens):
    ids, usual, ours = tokens(50), model("Llama", "sdpa"), model("Llama", "kvring")
    cache = ring(ours, window=WINDOW, sink_tokens=sink_tokens, rollback_tokens=rollback_tokens)
    mask = visible(50, WINDOW, sink_tokens)
    expected = usual(ids, attention_mask=mask, use_cache=False).logits
    start = 0
    for count in (2, 11, 1, 1, 1, 4, 25, 1, 4):  # 25: more than the ring holds
        found = run(ours, cache, ids[:, start : start + count])
        wanted = expected[:, start : start + count]
        assert float((found - wanted).abs().max()) <= 1e-5 * float(expected.abs().max())
        cache.rings.check()
        start += count
    assert start == 50
    assert cache.rings.length == WINDOW + sink_tokens + rollback_tokens


def test_sinks_before_the_window_of_a_model_with_mixed_layers():
    ids, usual, ours = tokens(40), model("Gemma 3", "sdpa"), model("Gemma 3", "kvring")
    masks = {
        "full_attention": visible(40, 40),
        "sliding_attention": visible(40, WINDOW, SINKS),
    }
    expected = at_once(usual, ids, **masks)
    cache = ring(ours, sink_tokens=SINKS, rollback_tokens=1)
    found = [run(ours, cache, ids[:, :15])]
    found += [run(ours, cache, ids[:, n : n + 1]) for n in range(15, 40)]
    difference = float((torch.cat(found, dim=1) - expected).abs().max())
    assert difference <= 1e-5 * float(expected.abs().max())


def test_padding_is_not_seen_also_behind_sinks():
    ids, ours = tokens(30), model("Llama", "kvring")
    padded = torch.cat([torch.zeros(1, SINKS, dtype=torch.long), ids], dim=1)
    mask = torch.cat([torch.zeros(1, SINKS, dtype=torch.long), torch.ones_like(ids)], dim=1)
    alone = generated(ours, ring(ours, window=WINDOW, rollback_tokens=2), ids)
    # All sinks are padding here, so nothing is left of them.
    numbers = {"window": WINDOW, "sink_tokens": SINKS, "rollback_tokens": 2}
    found = generated(ours, ring(ours, **numbers), padded, attention_mask=mask)
    assert furthest(found, alone) <= 1e-3


def test_in_a_padded_batch_those_sinks_are_seen_that_are_no_padding():
    ids, padding, usual, ours = tokens(30, 2), 2, model("Llama", "sdpa"), model("Llama", "kvring")
    real = torch.ones(2, 30, dtype=torch.bool)
    real[0, :padding] = False
    mask = visible(30, WINDOW, SINKS) & real[:, None, None]
    mask |= torch.eye(30, dtype=torch.bool)  # padding sees itself, and nobody sees it
    expected = usual(ids, attention_mask=mask, use_cache=False).logits[:, padding:]
    cache = ring(ours, window=WINDOW, sink_tokens=SINKS, rollback_tokens=1)
    found, start = [], 0
    for count in (12, 1, 1, 10, 1, 2, 1, 1, 1):
        chunk = slice(start, start + count)
        found.append(run(ours, cache, ids[:, chunk], attention_mask=real[:, : chunk.stop].long()))
        start += count
    difference = (torch.cat(found, dim=1)[:, padding:] - expected).abs().max()
    assert float(difference) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_sinks_with_masks_that_know_nothing_of_them_are_refused(attention):
    mistral = model("Mistral", attention)
    message = rf"sink_tokens=4: expected attention 'kvring', got '{attention}'"
    with pytest.raises(ConfigError, match=message):
        ring(mistral, sink_tokens=4)


def test_a_window_that_the_model_knows_nothing_of_is_refused_likewise():
    with pytest.raises(ConfigError, match="window=8: expected attention 'kvring', got 'sdpa'"):
        ring(model("Llama", "sdpa"), window=8)


def test_changing_the_attention_under_a_cache_with_sinks_is_refused_before_anything_is_written():
    changing = model("Mistral", "kvring", layers=1)
    cache = ring(changing, sink_tokens=4)
    run(changing, cache, tokens(3))
    changing.set_attn_implementation("sdpa")
    with pytest.raises(ConfigError, match="set_attn_implementation"):
        run(changing, cache, tokens(1))
    assert cache.get_seq_length() == 3


def test_sinks_where_nothing_is_ever_forgotten_are_a_mistake():
    with pytest.raises(ConfigError, match="sink_tokens=4: every layer of this model keeps all"):
        ring(model("Llama", "kvring"), sink_tokens=4)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_with_another_cache_our_attention_is_torch_s_own(name):
    ids, ours = tokens(20, batch=2), model(name, "kvring")
    usual = model(name, "eager")
    expected = generated(usual, dynamic(usual), ids, 10)
    found = generated(ours, dynamic(ours), ids, 10)
    assert furthest(found, expected) <= 1e-5 * float(expected.logits[0].abs().max())
