"""Random models of six architectures: the same logits as with the cache that transformers makes."""

import pytest
import torch

from tests.users.tiny import (
    CONFIGURATIONS,
    RELEASE,
    dynamic,
    furthest,
    generated,
    model,
    ring,
    run,
    theirs,
    tokens,
)

WAYS = [(name, way) for name in CONFIGURATIONS for way in [*theirs(name), "kvring"]]
every_way = pytest.mark.parametrize(("name", "attention"), WAYS)
CLOSE = 1e-5
WANTED = {}


def wanted(name, ids, **more):
    """What transformers gives by itself; the tests of one kind share it."""
    key = name, ids.numpy().tobytes(), ids.shape, *((k, str(v)) for k, v in more.items())
    if key not in WANTED:
        with_theirs = model(name, theirs(name)[0])
        WANTED[key] = generated(with_theirs, dynamic(with_theirs), ids, **more)
    return WANTED[key]


def scale_of(found):
    """Logits of these models are some tens: differences count relative to that."""
    return max(1.0, float(max(step.abs().max() for step in found.logits)))


@every_way
@pytest.mark.parametrize("rollback_tokens", [0, 3])
def test_greedy_generation_has_the_same_logits(name, attention, rollback_tokens):
    ids = tokens(20, batch=2)
    ours = model(name, attention)
    cache = ring(ours, rollback_tokens=rollback_tokens)
    expected = wanted(name, ids)
    found = generated(ours, cache, ids)
    assert furthest(found, expected) <= CLOSE * scale_of(expected)
    assert found.sequences.equal(expected.sequences)
    cache.rings.check()


@every_way
def test_left_padding_makes_no_difference_to_a_prompt(name, attention):
    ids, mask = tokens(20, batch=3), torch.ones(3, 20, dtype=torch.long)
    for batch_row, padding in ((0, 15), (1, 4)):
        ids[batch_row, :padding] = 0
        mask[batch_row, :padding] = 0
    ours = model(name, attention)
    expected = wanted(name, ids, attention_mask=mask)
    found = generated(ours, ring(ours, rollback_tokens=2), ids, attention_mask=mask)
    assert furthest(found, expected) <= CLOSE * scale_of(expected)


@every_way
def test_a_chat_goes_on_in_chunks_of_any_size(name, attention):
    ids = tokens(90)
    first, second = model(name, theirs(name)[0]), model(name, attention)
    caches = dynamic(first), ring(second, rollback_tokens=4)
    start = 0
    for count in (5, 1, 20, 1, 1, 3, 40, 5, 14):
        chunk = ids[:, start : start + count]
        expected, found = run(first, caches[0], chunk), run(second, caches[1], chunk)
        assert float((found - expected).abs().max()) <= CLOSE * float(expected.abs().max())
        caches[1].rings.check()
        start += count
    assert caches[1].get_seq_length() == start == 90


@pytest.mark.skipif(RELEASE < (5, 16), reason="it needs a token that ends a text")
@every_way
def test_prompt_lookup_takes_back_what_was_guessed_wrongly(name, attention):
    ids = tokens(6).repeat(1, 4)
    ours = model(name, attention)
    expected = wanted(name, ids)
    cache = ring(ours)
    found = generated(ours, cache, ids, prompt_lookup_num_tokens=5)
    assert found.sequences.equal(expected.sequences)
    cache.rings.check()


@pytest.mark.parametrize("attention", ["sdpa", "kvring"])
@pytest.mark.parametrize("name", ["Llama", "Mistral", "Gemma 3"])
def test_an_assistant_with_a_ring_of_its_own_changes_no_token(name, attention):
    ids = tokens(20)
    ours, assistant = model(name, attention), model(name, attention, layers=2)
    found = generated(ours, ring(ours), ids, assistant_model=assistant)
    assert found.sequences.equal(wanted(name, ids).sequences)


@every_way
def test_beams_fork_and_die_as_with_their_cache(name, attention):
    ids = tokens(12, batch=2)
    ours = model(name, attention)
    cache = ring(ours, rollback_tokens=1)
    found = generated(ours, cache, ids, num_beams=3)
    assert found.sequences.equal(wanted(name, ids, num_beams=3).sequences)
    cache.rings.check()


@pytest.mark.parametrize("attention", ["sdpa", "kvring"])
def test_sampling_draws_the_same_tokens(attention):
    usual, ours, ids = model("Mistral", "sdpa"), model("Mistral", attention), tokens(20, batch=2)
    drawn = []
    for of_model, cache in ((usual, dynamic(usual)), (ours, ring(ours, rollback_tokens=2))):
        torch.manual_seed(1)
        drawn.append(generated(of_model, cache, ids, do_sample=True).sequences)
    assert drawn[0].equal(drawn[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["sdpa", "eager", "kvring"])
def test_halves_are_as_close_as_halves_can_be(dtype, attention):
    ids = tokens(60)
    exact = run(model("Mistral", "sdpa"), dynamic(model("Mistral", "sdpa")), ids)
    ours = model("Mistral", attention, dtype=dtype)
    cache = ring(ours, rollback_tokens=2)
    found = torch.cat([run(ours, cache, ids[:, n : n + 1]) for n in range(60)], dim=1)
    worst = 0.2 if dtype is torch.bfloat16 else 0.03
    assert float((found.float() - exact).abs().max()) <= worst * float(exact.abs().max())
