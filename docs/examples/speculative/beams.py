"""Beam search: the beams are batch rows of one cache, and `reorder` follows them.

Four beams whose best continuations come from the beams 1, 1, 0 and 3::

    batch row    0  1  2  3
    parents      1  1  0  3      cache.reorder([1, 1, 0, 3])

Beam 2 has died, beam 1 goes on in two ways, beam 3 stays where it is, and its rows do not move.
"""

from time import perf_counter

import numpy as np
from load import Tokens, forward_batch, new_cache, said
from model import Model
from tokenizer import TextTokenizer
from weights import Floats

from kvring import Append, Circular, KVCache
from kvring.config import Mode

BEAMS = 4
PROMPT = "Once upon a time, in a small village by the sea,"


class Beams:
    """The best texts so far, with the sum of their tokens' log probabilities."""

    def __init__(self, first: Floats) -> None:
        scores = log_softmax(first[None])
        best = np.argsort(-scores[0], kind="stable")[:BEAMS]
        self.texts: list[list[int]] = [[token] for token in best.tolist()]
        self.scores = scores[0, best]

    @property
    def newest(self) -> Tokens:
        """The last token of each text, `(beams, 1)`."""
        return np.array([text[-1:] for text in self.texts])

    def grow(self, logits: Floats) -> list[int]:
        """Go on with the best of all continuations; returns which beam each of them comes from."""
        totals = self.scores[:, None] + log_softmax(logits)
        best = np.argsort(-totals, axis=None, kind="stable")[:BEAMS]
        parents, tokens = np.unravel_index(best, totals.shape)
        self.scores = totals[parents, tokens]
        self.texts = [
            [*self.texts[parent], int(token)] for parent, token in zip(parents, tokens, strict=True)
        ]
        return [int(parent) for parent in parents]


def in_one_cache(model: Model, prompt: Tokens, strategy: Mode, tokens: int) -> list[list[int]]:
    """All beams in one batch: the prompt is run once, and repeated for each of them."""
    cache = new_cache(model, strategy)
    beams = Beams(last_logits(model, prompt, cache)[0])
    cache.repeat(BEAMS)
    for _ in range(tokens - 1):
        cache.reorder(beams.grow(last_logits(model, beams.newest, cache)))
    return beams.texts


def in_caches_of_their_own(
    model: Model, prompt: Tokens, strategy: Mode, tokens: int
) -> list[list[int]]:
    """The slow twin: a cache for every beam, copied whenever a beam goes on in two ways."""
    cache = new_cache(model, strategy)
    beams = Beams(last_logits(model, prompt, cache)[0])
    caches = [cache.copy() for _ in range(BEAMS)]
    for _ in range(tokens - 1):
        newest = beams.newest
        each = [last_logits(model, newest[n : n + 1], caches[n]) for n in range(BEAMS)]
        caches = [caches[parent].copy() for parent in beams.grow(np.concatenate(each))]
    return beams.texts


def last_logits(model: Model, token_ids: Tokens, cache: KVCache) -> Floats:
    """Scores of every next token after the last one given, `(batch, vocabulary)`."""
    return model.logits(forward_batch(model, token_ids, cache)[:, -1])


def log_softmax(logits: Floats) -> Floats:
    """Log probabilities, over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normed: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normed


def compare_beams(model: Model, tokenizer: TextTokenizer, tokens: int) -> bool:
    """The same beams in one cache and in four, on all rows and on a ring that wraps."""
    prompt = np.array([tokenizer.encode(PROMPT)])
    ring = Circular(window=12, sink_tokens=4)
    same = []
    for name, strategy in (
        ("all rows", Append(prompt.shape[1] + tokens)),
        ("a window of 12 with 4 sinks", ring),
    ):
        texts, seconds = [], []
        for search in (in_caches_of_their_own, in_one_cache):
            started = perf_counter()
            texts.append(search(model, prompt, strategy, tokens))
            seconds.append(perf_counter() - started)
        details = (
            f"{BEAMS} beams of {tokens} tokens in {seconds[0]:.1f} s with a cache each,"
            f" {seconds[1]:.1f} s as one batch"
        )
        same.append(said(f"beams, {name}", texts[0] == texts[1], details))
        if name == "all rows":
            print(f"    {PROMPT} {' '.join(tokenizer.decode(texts[1][0]).split())[:150]}")
    return all(same)
