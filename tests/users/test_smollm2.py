"""A real language model writes the same text, token for token, as with DynamicCache."""

import pytest
import torch

from tests.often import often
from tests.users.tiny import RELEASE, dynamic, generated, ring

PROMPTS = [
    "Once upon a time, in a village by the sea,",
    "The three most important things about a ring buffer are",
    "Water",
    "A recipe for bread. Ingredients: flour, water, salt and yeast. Mix flour and salt. Then",
]
REPEATING = "one two three four five six seven one two three four five six seven one two three"
BOTH = pytest.mark.parametrize("attention", ["sdpa", "kvring"])
NEW_TOKENS = often(24, at_least=16)


@pytest.fixture(scope="module")
def smollm2():
    from tests.users.smollm2 import load

    threads = torch.get_num_threads()
    yield load()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def expected():
    return {}


def same_text(smollm2, expected, attention, inputs, **more):
    """Generate with DynamicCache and their attention, once, and with RingCache and `attention`."""
    model, _ = smollm2
    key = inputs["input_ids"].numpy().tobytes(), str(more)
    if key not in expected:
        model.set_attn_implementation("sdpa")
        usual = dict(more)
        if RELEASE >= (5, 16):  # earlier ones go on beyond the last token, with any cache
            usual.pop("prompt_lookup_num_tokens", None)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        found = generated(model, dynamic(model), ids, NEW_TOKENS, attention_mask=mask, **usual)
        expected[key] = found.sequences
    model.set_attn_implementation(attention)
    cache = ring(model)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    found = generated(model, cache, ids, NEW_TOKENS, attention_mask=mask, **more)
    assert found.sequences.equal(expected[key])
    cache.rings.check()
    assert cache.rings.stats.rows_gathered == 0
    return found.sequences


@BOTH
def test_greedy_text_is_the_same_and_makes_sense(smollm2, expected, attention):
    tokenizer = smollm2[1]
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    assert "Paris" in tokenizer.decode(same_text(smollm2, expected, attention, inputs)[0])


@BOTH
def test_beams_write_the_same_text(smollm2, expected, attention):
    inputs = smollm2[1](PROMPTS[0], return_tensors="pt")
    same_text(smollm2, expected, attention, inputs, num_beams=4)


@BOTH
def test_prompt_lookup_writes_the_text_of_plain_greedy_decoding(smollm2, expected, attention):
    inputs = smollm2[1](REPEATING, return_tensors="pt")
    same_text(smollm2, expected, attention, inputs, prompt_lookup_num_tokens=6)


@BOTH
def test_four_prompts_of_different_length_in_one_batch(smollm2, expected, attention):
    inputs = smollm2[1](PROMPTS, return_tensors="pt", padding=True)
    lengths = inputs["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) == 4
    same_text(smollm2, expected, attention, inputs)
