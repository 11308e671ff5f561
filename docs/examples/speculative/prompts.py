"""A batch of prompts of different length: every batch row at a position of its own.

    batch row 0    p p p p p . . .     5 real tokens, 3 of padding
    batch row 1    p p p p p p p p
    batch row 2    p p . . . . . .

Padding is never stored, so no mask has to remember it. A row whose text has ended gets 0 tokens
and stays as it is.
"""

from time import perf_counter

import numpy as np
from load import forward_batch, new_cache, said
from model import Model
from tokenizer import TextTokenizer

from kvring import Append, Circular
from kvring.config import Mode

QUESTIONS = (
    "What is a ring buffer?",
    "Name three kinds of bread, and say in one sentence for each of them where it is eaten.",
    "Why is the sky blue?",
    "A farmer has seven sheep, sells two, buys one goat and three hens. How many animals are left?",
)


def all_at_once(
    model: Model, prompts: list[list[int]], strategy: Mode, tokens: int, stop_tokens: set[int]
) -> list[list[int]]:
    """The answers to all prompts, one token of each at a time."""
    cache = new_cache(model, strategy, batch=len(prompts))
    counts = [len(prompt) for prompt in prompts]
    given = np.zeros((len(prompts), max(counts)), np.int64)
    for batch_row, prompt in enumerate(prompts):
        given[batch_row, : len(prompt)] = prompt
    answers: list[list[int]] = [[] for _ in prompts]
    while any(counts):
        hidden = forward_batch(model, given, cache, token_counts=counts)
        last = hidden[np.arange(len(prompts)), np.maximum(counts, 1) - np.int64(1)]
        likeliest = np.argmax(model.logits(last), axis=1).tolist()
        for batch_row, answer in enumerate(answers):
            if counts[batch_row]:
                answer.append(likeliest[batch_row])
                ended = likeliest[batch_row] in stop_tokens or len(answer) == tokens
                counts[batch_row] = 0 if ended else 1
        given = np.array(likeliest)[:, None]
    return answers


def one_by_one(
    model: Model, prompts: list[list[int]], strategy: Mode, tokens: int, stop_tokens: set[int]
) -> list[list[int]]:
    """The slow twin: each prompt has a cache to itself."""
    return [all_at_once(model, [prompt], strategy, tokens, stop_tokens)[0] for prompt in prompts]


def compare_prompts(model: Model, tokenizer: TextTokenizer, tokens: int) -> bool:
    """The same answers in a batch and one by one, on all rows and on rings that wrap."""
    prompts = [tokenizer.encode_chat(question) for question in QUESTIONS]
    longest = max(map(len, prompts))
    same = []
    for name, strategy in (
        ("all rows", Append(longest + tokens)),
        ("a window of 40 with 4 sinks", Circular(window=40, sink_tokens=4)),
    ):
        answers, seconds = [], []
        for way in (one_by_one, all_at_once):
            started = perf_counter()
            answers.append(way(model, prompts, strategy, tokens, tokenizer.stop_tokens))
            seconds.append(perf_counter() - started)
        lengths = ", ".join(str(len(prompt)) for prompt in prompts)
        details = (
            f"prompts of {lengths} tokens: {seconds[0]:.1f} s one by one, {seconds[1]:.1f} s as one"
            f" batch"
        )
        same.append(said(f"prompts, {name}", answers[0] == answers[1], details))
        if name == "all rows":
            for question, answer in zip(QUESTIONS, answers[1], strict=True):
                print(f"    {question[:40]} {' '.join(tokenizer.decode(answer).split())[:80]}")
    return all(same)
