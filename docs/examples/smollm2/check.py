"""Proof that kvring changes nothing: every logit against a recomputation of the full history.

The twin of every cache is `FullHistory`, which caches nothing: the model runs over all tokens from
the first one again, under a mask built from the plain definition of what a token may see.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from attention import Attention, NumPyAttention, RepeatingAttention, RingAttention
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
# Sums in another order differ in float32's last digits. Where rows are rounded to fewer digits,
# such a difference can tip a number to the next one, which is 13 or 16 bits away.
LARGEST_DIFFERENCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-1}

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
    """The keys and values that came in, as float32, and a mask from the definition."""

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
    """No cache: gives back what comes in, which must be the whole text from position 0.

    It comes in `dtype`, so that it is rounded like the rows of the cache that is checked.
    """

    visible: Visible
    dtype: np.dtype[Any]
    seq_len: int = 0
    nbytes: int = 0

    def update(self, layer: int, keys: Any, values: Any, *, order: Order) -> HistoryView:
        """Return the rows just given, and store nothing."""
        return HistoryView(keys.astype(np.float32), values.astype(np.float32), self.visible)


@dataclass
class Setup:
    """A cache and a way to attend, as they are checked together."""

    cache: Cache
    attention: Attention


def run_checks(model: Model, tokenizer: TextTokenizer) -> None:
    """Run all checks and print a line for each.

    Raises
    ------
    DemoError
        A check failed: says which mode, at which step, and by how much.
    """
    ring = Circular(window=WINDOW, sink_tokens=SINK_TOKENS)
    prompt = tokenizer.encode(PROMPT)

    def kvring(strategy: Append | Circular, dtype: str = "float32") -> Setup:
        return Setup(make_cache(model.shape, strategy, dtype), RingAttention())

    def numpy(strategy: Append | Circular) -> Setup:
        return Setup(make_cache(model.shape, strategy), NumPyAttention())

    append = Append(capacity=100)
    whole = {
        "append": numpy(append),
        "append, attend": kvring(append),
        "concatenating": Setup(ConcatenatingCache(model.shape), NumPyAttention()),
        "obvious": Setup(ConcatenatingCache(model.shape), RepeatingAttention()),
    }
    tokens = check_decoding(model, whole, causal, prompt)
    check_story(tokenizer.decode(tokens[len(prompt) :]))
    wrapping = {"circular": numpy(ring), "circular, attend": kvring(ring)}
    check_decoding(model, wrapping, sliding, prompt)
    for setup in wrapping.values():
        check_wraps(setup.cache)
    one_by_one = (len(prompt) - 1, *[1] * (len(tokens) - len(prompt) + 1))
    for dtype in ("float16", "bfloat16"):
        mode = f"append, attend, {dtype}, one by one"
        check_chunks(model, mode, kvring(append, dtype), causal, tokens, one_by_one)
        mode = f"circular, attend, {dtype}, in chunks"
        check_chunks(model, mode, kvring(ring, dtype), sliding, tokens)
    rollback = Circular(window=WINDOW, sink_tokens=SINK_TOKENS, rollback_tokens=3)
    for name, made in (("", numpy), (", attend", kvring)):
        check_chunks(model, f"append{name}, in chunks", made(append), causal, tokens)
        check_chunks(model, f"circular{name}, in chunks", made(ring), sliding, tokens)
        check_rollback(model, f"circular{name}, rolled back", made(rollback), tokens)


def check_decoding(
    model: Model, setups: Mapping[str, Setup], visible: Visible, prompt: list[int]
) -> list[int]:
    """Generate greedily, and at every step recompute the whole text without a cache.

    Parameters
    ----------
    model : Model
        The model.
    setups : mapping
        Empty caches of one dtype that all must give what `visible` allows, by their modes.
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
    largest = dict.fromkeys(setups, 0.0)
    dtype = next(iter(setups.values())).cache.dtype
    for setup in setups.values():
        model.forward(prompt[:-1], setup.cache, setup.attention)
    with progress_bar(f"checking {' and '.join(setups)}", STEPS, "steps") as progress:
        for step in range(1, STEPS + 1):
            history = FullHistory(visible, dtype)
            expected = model.logits(model.forward(token_ids, history)[-1:])[0]
            for mode, setup in setups.items():
                logits = model.logits(model.forward(token_ids[-1:], setup.cache, setup.attention))
                difference = compare_logits(mode, f"step {step}", logits[0], expected, dtype)
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


def check_wraps(ring: Cache) -> None:
    """Check that the ring went round at least twice; a check that never wraps proves little."""
    laps = (ring.seq_len - SINK_TOKENS - 1) // WINDOW
    if laps < 2:
        raise DemoError(f"check failed: circular: the ring wrapped {laps} times, not 2")
    print(f"check: circular: the ring of {WINDOW} + {SINK_TOKENS} sinks wrapped {laps} times")


def check_chunks(
    model: Model,
    mode: str,
    setup: Setup,
    visible: Visible,
    tokens: list[int],
    sizes: Sequence[int] = (20, 7, 1, STEPS),
) -> None:
    """Check every token of a text that comes in chunks of these sizes, as far as they are needed.

    Of those given here, the first is longer than the window.
    """
    parts, start = [], 0
    for chunk_tokens in sizes:
        chunk = tokens[start : start + chunk_tokens]
        parts.append(model.forward(chunk, setup.cache, setup.attention))
        start += chunk_tokens
    compare_text(
        model, mode, np.concatenate(parts), FullHistory(visible, setup.cache.dtype), tokens
    )


def check_rollback(model: Model, mode: str, setup: Setup, tokens: list[int]) -> None:
    """Check a ring that takes three wrong tokens after every few right ones, and drops them.

    Rows that may be dropped again lie in the ring beside the window, and dropped ones leave dead
    slots, so here even a single token needs the mask.
    """
    parts, start = [], 0
    ring = cast("KVCache", setup.cache)
    while start < len(tokens):
        chunk = tokens[start : start + 1 + start % 3]
        parts.append(model.forward(chunk, ring, setup.attention))
        start += len(chunk)
        model.forward(tokens[:3], ring, setup.attention)
        ring.truncate(start)
    compare_text(model, mode, np.concatenate(parts), FullHistory(sliding, ring.dtype), tokens)


def compare_text(
    model: Model, mode: str, hidden: Floats, history: FullHistory, tokens: list[int]
) -> None:
    """Compare the logits of every token of a text with those of the full history."""
    expected = model.logits(model.forward(tokens, history))
    found = model.logits(hidden)
    if len(found) != len(expected):
        raise DemoError(f"check failed: {mode}: {len(found)} of {len(expected)} tokens came")
    differences = [
        compare_logits(mode, f"position {position}", logits, expected[position], history.dtype)
        for position, logits in enumerate(found)
    ]
    report(mode, f"{len(tokens)} positions equal the full history", max(differences))


def compare_logits(
    mode: str, place: str, logits: Floats, expected: Floats, dtype: np.dtype[Any]
) -> float:
    """Return the largest difference of two rows of logits, or raise if they do not agree."""
    if logits.dtype != np.float32:
        raise DemoError(f"check failed: {mode}, {place}: float32 became {logits.dtype} on the way")
    difference, most = float(np.abs(logits - expected).max()), LARGEST_DIFFERENCE[dtype.name]
    if not difference <= most:  # written so that NaN fails too
        raise DemoError(
            f"check failed: {mode}, {place}: logits differ by {difference:g}; at most {most} is"
            " allowed"
        )
    second, best = np.partition(expected, -2)[-2:]
    got_token, token = int(np.argmax(logits)), int(np.argmax(expected))
    # Two logits closer than that may change places.
    if best - second > 2 * most and got_token != token:
        raise DemoError(f"check failed: {mode}, {place}: greedy token {got_token}, not {token}")
    return difference


def report(mode: str, what: str, difference: float) -> None:
    """Print that a check went well."""
    print(f"check: {mode}: {what}; largest difference {difference:.1e}")
