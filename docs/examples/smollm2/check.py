"""Proof that kvring changes nothing: every logit against a recomputation of the full history.

The twin of every cache is `FullHistory`, which caches nothing: the model runs over all tokens from
the first one again, under a mask built from the plain definition of what a token may see.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from caches import Cache, ConcatenatingCache, Order, make_cache
from model import Model
from numpy.typing import NDArray
from options import PROMPT
from terminal import DemoError, progress_bar
from tokenizer import TextTokenizer
from weights import Floats

from kvring import Append, Circular, KVCache

STEPS = 40
WINDOW = 16
SINK_TOKENS = 4
LARGEST_DIFFERENCE = 1e-3
# Two logits closer than this may change places when sums are added up in another order.
CLEAR_LEAD = 2e-3

STORY = " there was a wise old wizard named Thorold."

# What a query may attend to: its own position -> set of positions.
Visible = Callable[[int], set[int]]


def causal(position: int) -> set[int]:
    """Return all positions up to the query's own."""
    return set(range(position + 1))


def sliding(position: int) -> set[int]:
    """Return the sinks and the window's positions, as far as they are not in the future."""
    sink_positions = set(range(SINK_TOKENS))
    window_positions = set(range(position - WINDOW + 1, position + 1))
    return (sink_positions | window_positions) & causal(position)


@dataclass
class HistoryView:
    """The keys and values that came in, and a mask from the definition."""

    keys: Floats
    values: Floats
    visible: Visible

    def __iter__(self) -> Iterator[Floats]:
        yield self.keys
        yield self.values

    def mask(self) -> NDArray[np.bool_]:
        """Return `(tokens, tokens)`, True where the row's position is visible to the token."""
        tokens = range(self.keys.shape[2])
        return np.array([[row in self.visible(token) for row in tokens] for token in tokens])


@dataclass
class FullHistory:
    """No cache: gives back what comes in, which must be the whole text from position 0."""

    visible: Visible
    seq_len: int = 0
    nbytes: int = 0

    def update(self, layer: int, keys: Floats, values: Floats, *, order: Order) -> HistoryView:
        """Return the rows just given, and store nothing."""
        return HistoryView(keys, values, self.visible)


def run_checks(model: Model, tokenizer: TextTokenizer) -> None:
    """Run all checks and print a line for each.

    Raises
    ------
    DemoError
        A check failed: says which mode, at which step, and by how much.
    """
    append = Append(capacity=100)
    ring = Circular(window=WINDOW, sink_tokens=SINK_TOKENS)
    rollback = Circular(window=WINDOW, sink_tokens=SINK_TOKENS, rollback_tokens=3)

    def empty(strategy: Append | Circular) -> KVCache:
        return make_cache(model.shape, strategy)

    prompt = tokenizer.encode(PROMPT)
    whole: dict[str, Cache] = {
        "append": empty(append),
        "concatenating": ConcatenatingCache(model.shape),
    }
    tokens = check_decoding(model, whole, causal, prompt)
    check_story(tokenizer.decode(tokens[len(prompt) :]))
    wrapping = empty(ring)
    check_decoding(model, {"circular": wrapping}, sliding, prompt)
    check_wraps(wrapping)
    check_chunks(model, "append, in chunks", empty(append), causal, tokens)
    check_chunks(model, "circular, in chunks", empty(ring), sliding, tokens)
    check_rollback(model, "circular, rolled back", empty(rollback), tokens)


def check_decoding(
    model: Model, caches: Mapping[str, Cache], visible: Visible, prompt: list[int]
) -> list[int]:
    """Generate greedily, and at every step recompute the whole text without a cache.

    Parameters
    ----------
    model : Model
        The model.
    caches : mapping
        Empty caches that all must give what `visible` allows, by the mode they stand for.
    visible : callable
        What a token may attend to.
    prompt : list of int
        The tokens to go on from.

    Returns
    -------
    list of int
        The prompt and the tokens generated.
    """
    token_ids = list(prompt)
    largest = dict.fromkeys(caches, 0.0)
    for cache in caches.values():
        model.forward(prompt[:-1], cache)
    with progress_bar(f"checking {' and '.join(caches)}", STEPS, "steps") as progress:
        for step in range(1, STEPS + 1):
            expected = model.logits(model.forward(token_ids, FullHistory(visible))[-1:])[0]
            for mode, cache in caches.items():
                logits = model.logits(model.forward(token_ids[-1:], cache))[0]
                difference = compare_logits(mode, f"step {step}", logits, expected)
                largest[mode] = max(largest[mode], difference)
            token_ids.append(int(np.argmax(expected)))
            progress.update()
    for mode, difference in largest.items():
        report(mode, f"{STEPS} steps equal the full history", difference)
    return token_ids


def check_story(text: str) -> None:
    """Check the text that this model is known to write, which no wrong forward pass does."""
    if not text.startswith(STORY):
        raise DemoError(f"check failed: the story should begin {STORY!r}, not {text[:60]!r}")
    print(f"check: the story begins {STORY!r}")


def check_wraps(ring: KVCache) -> None:
    """Check that the ring went round at least twice; a check that never wraps proves little."""
    laps = (ring.seq_len - SINK_TOKENS - 1) // WINDOW
    if laps < 2:
        raise DemoError(f"check failed: circular: the ring wrapped {laps} times, not 2")
    print(f"check: circular: the ring of {WINDOW} + {SINK_TOKENS} sinks wrapped {laps} times")


def check_chunks(
    model: Model, mode: str, cache: Cache, visible: Visible, tokens: list[int]
) -> None:
    """Check every token of a text that comes in chunks, the first longer than the window."""
    parts, start = [], 0
    for chunk_tokens in (20, 7, 1, len(tokens)):
        parts.append(model.forward(tokens[start : start + chunk_tokens], cache))
        start += chunk_tokens
    compare_text(model, mode, np.concatenate(parts), visible, tokens)


def check_rollback(model: Model, mode: str, ring: KVCache, tokens: list[int]) -> None:
    """Check a ring that takes three wrong tokens after every few right ones, and drops them.

    Rows that may be dropped again lie in the ring beside the window, and dropped ones leave dead
    slots, so here even a single token needs the mask.
    """
    parts, start = [], 0
    while start < len(tokens):
        chunk = tokens[start : start + 1 + start % 3]
        parts.append(model.forward(chunk, ring))
        start += len(chunk)
        model.forward(tokens[:3], ring)
        ring.truncate(start)
    compare_text(model, mode, np.concatenate(parts), sliding, tokens)


def compare_text(
    model: Model, mode: str, hidden: Floats, visible: Visible, tokens: list[int]
) -> None:
    """Compare the logits of every token of a text with those of the full history."""
    expected = model.logits(model.forward(tokens, FullHistory(visible)))
    differences = [
        compare_logits(mode, f"position {position}", logits, expected[position])
        for position, logits in enumerate(model.logits(hidden))
    ]
    report(mode, f"{len(tokens)} positions equal the full history", max(differences))


def compare_logits(mode: str, place: str, logits: Floats, expected: Floats) -> float:
    """Return the largest difference of two rows of logits, or raise if they do not agree."""
    if logits.dtype != np.float32:
        raise DemoError(f"check failed: {mode}, {place}: float32 became {logits.dtype} on the way")
    difference = float(np.abs(logits - expected).max())
    if not difference <= LARGEST_DIFFERENCE:  # written so that NaN fails too
        allowed = f"at most {LARGEST_DIFFERENCE} is allowed"
        raise DemoError(
            f"check failed: {mode}, {place}: logits differ by {difference:g}; {allowed}"
        )
    second, best = np.partition(expected, -2)[-2:]
    got_token, token = int(np.argmax(logits)), int(np.argmax(expected))
    if best - second > CLEAR_LEAD and got_token != token:
        raise DemoError(f"check failed: {mode}, {place}: greedy token {got_token}, not {token}")
    return difference


def report(mode: str, what: str, difference: float) -> None:
    """Print that a check went well."""
    print(f"check: {mode}: {what}; largest difference {difference:.1e}")
