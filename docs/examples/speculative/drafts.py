"""Speculative decoding without a second model: the draft comes from the text's own n-grams.

    text so far    ... the sea was calm . The sailors said that the sea
    last 2-gram                                             the sea
    seen before        the sea was calm . The ...
    draft                      was calm . The

The draft is run as one chunk. As far as the model would have written the same, its tokens are kept;
the rest is taken back by `truncate`, also on a ring that has wrapped, where `rollback_tokens` says
how many tokens can be. What is left is the text of plain greedy decoding, token for token.
"""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from attention import RingAttention
from load import new_cache, said
from model import Model, prefill
from tokenizer import TextTokenizer

from kvring import Append, Circular, KVCache

MOST_DRAFTED = 8  # tokens that a ring must be able to take back
LONGEST_NGRAM = 3
QUESTION = (
    "Copy this text twice, word for word: The keeper of the old lighthouse climbed the stairs every"
    " evening to light the lamp. When the fog came in from the sea, he rang the bell every two"
    " minutes, and the fishermen who heard the bell knew that the harbour was near."
)


@dataclass
class Run:
    """A text, and what became of the drafts on the way."""

    tokens: list[int] = field(default_factory=list)
    drafted: int = 0
    accepted: int = 0
    seconds: float = 0.0


def draft_from(text: list[int], most: int) -> list[int]:
    """What followed the last time that the text's newest n-gram stood in it; empty if never.

    Examples
    --------
    >>> draft_from([1, 2, 3, 4, 1, 2], most=3)
    [3, 4, 1]
    >>> draft_from([1, 2, 3], most=3)
    []
    """
    for length in range(min(LONGEST_NGRAM, len(text) - 1), 0, -1):
        newest = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start : start + length] == newest:
                return text[start + length :][:most]
    return []


def generate(
    model: Model, prompt: list[int], cache: KVCache, tokens: int, stop_tokens: set[int], most: int
) -> Run:
    """Greedy decoding with drafts of `most` tokens at most; 0 is the plain way."""
    prefill(model, cache, prompt[:-1], "prompt")
    run, attention, token = Run(), RingAttention(), prompt[-1]
    started = perf_counter()
    while len(run.tokens) < tokens and token not in stop_tokens:
        draft = draft_from([*prompt, *run.tokens], most) if most else []
        hidden = model.forward([token, *draft], cache, attention)
        likeliest = np.argmax(model.logits(hidden), axis=1).tolist()
        right = next((n for n, guess in enumerate(draft) if guess != likeliest[n]), len(draft))
        if right < len(draft):
            cache.truncate(cache.seq_len - (len(draft) - right))
        run.drafted += len(draft)
        run.accepted += right
        for token in likeliest[: right + 1]:
            run.tokens.append(token)
            if token in stop_tokens or len(run.tokens) == tokens:
                break
    run.seconds = perf_counter() - started
    return run


def compare_drafts(model: Model, tokenizer: TextTokenizer, tokens: int) -> bool:
    """The same text with and without drafts, on all rows and on a ring that wraps."""
    prompt = tokenizer.encode_chat(QUESTION)
    room = Append(len(prompt) + tokens + MOST_DRAFTED)
    ring = Circular(window=64, sink_tokens=4, rollback_tokens=MOST_DRAFTED)
    same = []
    for name, strategy in (("all rows", room), ("a window of 64 with 4 sinks", ring)):
        plain, drafted = (
            generate(model, prompt, new_cache(model, strategy), tokens, tokenizer.stop_tokens, most)
            for most in (0, MOST_DRAFTED)
        )
        speeds = [len(run.tokens) / run.seconds for run in (plain, drafted)]
        details = (
            f"{len(plain.tokens)} tokens, {speeds[0]:.1f} a second one by one,"
            f" {speeds[1]:.1f} with drafts, of which {drafted.accepted} of {drafted.drafted} tokens"
            f" were right"
        )
        same.append(said(f"drafts, {name}", plain.tokens == drafted.tokens, details))
        if strategy is room:
            print(f"    {' '.join(tokenizer.decode(plain.tokens).split())[:200]}")
    return all(same)
