"""Masks: those of transformers in slot order, and those that a caller makes."""

import pytest
import torch

from tests.users.tiny import WINDOW, dynamic, feed, model, ring, rows, run, tokens

CLOSE = 1e-5


def test_mask_sizes_are_plain_integers_as_long_as_these_say_it_all():
    cache = ring(model("Mistral", "sdpa"), rollback_tokens=2)
    assert cache.get_mask_sizes(4) == (4, 0)
    assert type(cache.get_mask_sizes(4)[1]) is int
    feed(cache, [10])
    assert type(cache.get_mask_sizes(9)[1]) is int  # an assembled view, oldest row first
    columns = cache.get_mask_sizes(1)[1]
    assert type(columns) is not int
    assert columns == 1
    assert (torch.arange(10) + columns).tolist() == [10, *range(1, 10)]
    assert (torch.arange(3) * columns).tolist() == [0, 1, 2]


def test_without_a_promise_rows_come_oldest_first():
    cache = ring(model("Mistral", "sdpa"), rollback_tokens=2)
    every = rows(14)[0]
    for layer in range(4):
        cache.update(every[:, :, :13], every[:, :, :13], layer)
    shown, _ = cache.update(every[:, :, 13:], every[:, :, 13:], 0)
    assert shown.equal(every[:, :, -WINDOW:])


@pytest.mark.parametrize("form", ["bool", "float", "per head"])
@pytest.mark.parametrize("attention", ["sdpa", "kvring"])
def test_a_mask_that_the_caller_made_is_taken_as_it_is(attention, form):
    ids, usual, ours = tokens(24), model("Mistral", "sdpa"), model("Mistral", attention)
    caches = dynamic(usual), ring(ours, rollback_tokens=2)
    for of_model, cache in zip((usual, ours), caches, strict=True):
        run(of_model, cache, ids[:, :14])
    for n in range(14, 24):
        seen = torch.ones(1, 4 if form == "per head" else 1, 1, WINDOW, dtype=torch.bool)
        seen[:, 0, 0, n % WINDOW] = False  # the caller's own wish
        mask = seen if form != "float" else torch.where(seen, 0.0, -1e9)
        expected = run(usual, caches[0], ids[:, n : n + 1], attention_mask=mask)
        found = run(ours, caches[1], ids[:, n : n + 1], attention_mask=mask)
        assert float((found - expected).abs().max()) <= CLOSE * float(expected.abs().max())


@pytest.mark.parametrize("name", ["Gemma 2", "gpt-oss"])
def test_such_a_mask_goes_with_a_softcap_and_sink_logits_too(name):
    ids, usual, ours = tokens(12), model(name, "eager"), model(name, "kvring")
    seen = torch.ones(12, 12, dtype=torch.bool).tril()
    seen[:, 3] = False
    mask = torch.where(seen, 0.0, -1e9)[None, None]
    masks = {"full_attention": mask, "sliding_attention": mask}
    expected = run(usual, dynamic(usual), ids, attention_mask=masks)
    found = run(ours, ring(ours), ids, attention_mask=masks)
    shown = slice(4, None)  # query 3 sees little else than itself, and is of no interest
    difference = (found - expected)[:, shown].abs().max()
    assert float(difference) <= CLOSE * float(expected.abs().max())
