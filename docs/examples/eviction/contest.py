"""The run: one text, a few tokens at a time, through one model with several caches at once.

The caches take part side by side as the rows of one matrix, so the weights are read once for all.
"""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from contestants import Contestant, make_contestants
from demo import documentation_tokens, warm_up
from model import Model, rms_norm
from terminal import progress_bar
from tokenizer import TextTokenizer
from weights import Floats, ModelFile, find_model_file, read_hyperparameters, read_weights


@dataclass
class Results:
    """What came of the run."""

    model: str
    tokens: int
    resident: int
    chunk: int
    contestants: list[Contestant]
    seconds: float


def run_contest(tokens: int, resident: int, chunk: int) -> Results:
    """Feed `tokens` tokens of Python's reference to the model, `chunk` at a time, to every cache.

    Raises
    ------
    DemoError
        The model is not installed.
    """
    path = find_model_file()
    file = ModelFile(path)
    shape = read_hyperparameters(file)
    token_ids = documentation_tokens(TextTokenizer(file), tokens)
    model = Model(shape, read_weights(file, shape.layers))
    warm_up()
    contestants = make_contestants(tokens, resident, shape.layers, shape.kv_heads, shape.head_dim)
    started = perf_counter()
    with progress_bar("reading the text", tokens - 1, "tokens") as progress:
        for start in range(0, tokens - 1, chunk):
            given = token_ids[start : min(start + chunk, tokens - 1)]
            hidden = step(model, contestants, given, start)
            following = token_ids[start + 1 : start + 1 + len(given)]
            add_losses(contestants, model.logits(hidden), following)
            progress.update(len(given))
    seconds = perf_counter() - started
    return Results(path.stem, tokens, resident, chunk, contestants, seconds)


def step(
    model: Model, contestants: list[Contestant], token_ids: list[int], position: int
) -> Floats:
    """A chunk through all layers, `(contestants x tokens, d_model)`, as each cache shows it."""
    count = len(token_ids)
    rotations = np.tile(model.rotations[position : position + count], (len(contestants), 1))
    hidden = model.weights.embedding[token_ids * len(contestants)]
    for layer, weights in enumerate(model.weights.layers):
        queries, keys, values = model.project(weights, hidden, rotations)
        attended = []
        for number, contestant in enumerate(contestants):
            mine = slice(number * count, (number + 1) * count)
            attended.append(
                attend_and_tell(
                    contestant, layer, queries[:, mine], keys[:, :, mine], values[:, :, mine]
                )
            )
        hidden = hidden + np.concatenate(attended) @ weights.attention_output.T
        hidden = hidden + model.feed_forward(weights, hidden)
    return rms_norm(hidden, model.weights.output_norm, model.shape.norm_epsilon)


def attend_and_tell(
    contestant: Contestant, layer: int, queries: Floats, keys: Floats, values: Floats
) -> Floats:
    """Store a chunk's rows, attend to what the cache shows, and tell it the weights.

    Queries are `(query_heads, tokens, head_dim)`, keys and values `(1, kv_heads, tokens,
    head_dim)`; returns `(tokens, query_heads * head_dim)`.
    """
    view = contestant.cache.update(layer, keys, values, order="physical")
    all_keys, all_values = view
    query_heads, tokens, head_dim = queries.shape
    _, kv_heads, rows, _ = all_keys.shape
    stacked = queries.reshape(kv_heads, -1, head_dim) * head_dim**-0.5
    weights = stacked @ all_keys[0].swapaxes(1, 2)
    by_head = weights.reshape(query_heads, tokens, rows)
    mask = view.mask()
    if not mask.all():
        np.copyto(by_head, -np.inf, where=~mask)
    weights -= weights.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    if contestant.observes:
        contestant.cache.observe(view, by_head[None])
    attended: Floats = (weights @ all_values[0]).reshape(query_heads, tokens, head_dim)
    return attended.swapaxes(0, 1).reshape(tokens, -1)


def add_losses(contestants: list[Contestant], logits: Floats, following: list[int]) -> None:
    """What the model with each cache thought of the tokens that came."""
    logits -= logits.max(axis=-1, keepdims=True)
    chosen = logits[np.arange(len(logits)), following * len(contestants)]
    losses = np.log(np.exp(logits, out=logits).sum(axis=-1)) - chosen
    for contestant, mine in zip(contestants, np.split(losses, len(contestants)), strict=True):
        contestant.losses += mine.tolist()
