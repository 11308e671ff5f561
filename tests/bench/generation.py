"""Whole generation with the demo's model: how many tokens a second, by cache and attention.

Run as ``python -m tests.bench.generation`` where the demo's packages are installed; prints JSON.
The prompt is run once; every contestant starts from its rows, so all of them continue one text.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from kvring import Append, Circular, KVCache, warm_up

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples" / "smollm2"))

from attention import Attention, NumPyAttention, RepeatingAttention, RingAttention
from caches import ConcatenatingCache, fill, make_cache
from compare import Contestant
from demo import documentation_tokens
from model import Model, prefill
from tokenizer import TextTokenizer
from weights import ModelFile, find_model_file, read_hyperparameters, read_weights

WARM_UP = 2
WINDOW, SINKS = 1024, 4


def rounds_at(context: int) -> int:
    """Tokens that count: short steps differ by few per cent, which takes more of them to see."""
    return 60 if context < 1000 else 12


def shortened(full: ConcatenatingCache, tokens: int) -> ConcatenatingCache:
    """The first rows of a prompt, in a cache of their own."""
    first = full.copy()
    for layer, (keys, values) in enumerate(zip(full._keys, full._values, strict=True)):
        first._keys[layer] = keys[:, :, :tokens].copy()
        first._values[layer] = values[:, :, :tokens].copy()
    return first


def filled(model: Model, strategy: Any, rows: ConcatenatingCache, dtype: str) -> KVCache:
    """A kvring cache with the prompt's rows."""
    cache = make_cache(model.shape, strategy, dtype)
    fill(cache, rows)
    return cache


def contestants(model: Model, rows: ConcatenatingCache, token: int) -> dict[str, Contestant]:
    """All of them at one length of context."""
    room = Append(rows.seq_len + WARM_UP + rounds_at(rows.seq_len))
    group = {
        "obvious: concatenates, repeats K and V": (rows.copy(), RepeatingAttention()),
        "best plain NumPy: concatenates, matmul per KV head": (rows, NumPyAttention()),
        "kvring, the same NumPy attention": (
            filled(model, room, rows, "float32"),
            NumPyAttention(),
        ),
        "kvring, attend": (filled(model, room, rows, "float32"), RingAttention()),
        "kvring, attend, float16": (filled(model, room, rows, "float16"), RingAttention()),
    }
    if _has_bfloat16():
        cache = filled(model, room, rows, "bfloat16")
        group["kvring, attend, bfloat16"] = (cache, RingAttention())
    return {name: contestant(name, *pair, token) for name, pair in group.items()}


def contestant(name: str, cache: Any, attention: Attention, token: int) -> Contestant:
    """One way to generate, about to feed `token`."""
    return Contestant(name, cache, attention, token)


def _has_bfloat16() -> bool:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True


def take_turns(model: Model, group: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Seconds per token of each, one token each in turn, backwards every second round."""
    seconds: dict[str, list[float]] = {name: [] for name in group}
    for number in range(WARM_UP + rounds):
        for name in list(group) if number % 2 else reversed(group):
            group[name].step(model, stop_tokens=set())
            if number >= WARM_UP:
                seconds[name].append(group[name].step_seconds[-1])
    return seconds


def summary(seconds: dict[str, list[float]], group: dict[str, Contestant]) -> dict[str, Any]:
    """Tokens a second, times as fast as the obvious and the best NumPy, first other token."""
    names = list(seconds)
    lines = {}
    for name in names:
        ratios = [
            median(a / b for a, b in zip(seconds[other], seconds[name], strict=True))
            for other in names[:2]
        ]
        pairs = zip(group[name].token_ids, group[names[0]].token_ids, strict=True)
        differs = next((n for n, (a, b) in enumerate(pairs, 1) if a != b), None)
        lines[name] = {
            "tokens_per_second": 1 / median(seconds[name]),
            "against": ratios,
            "first_other_token": differs,
        }
    return lines


def windows(
    model: Model, full: ConcatenatingCache, tokens: list[int], at: tuple[int, int]
) -> dict[str, Any]:
    """A window at a low and at a high position, in turns."""
    group = {}
    for position in at:
        cache = filled(model, Circular(WINDOW, SINKS), shortened(full, position), "float32")
        group[str(position)] = contestant("window", cache, RingAttention(), tokens[position])
    return summary(take_turns(model, group, rounds=20), group)


def main() -> None:
    """Run the prompt once, then all lengths of context; JSON on stdout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contexts", type=int, nargs="+", default=[256, 4096, 8000])
    contexts = sorted(parser.parse_args().contexts)
    from threadpoolctl import threadpool_limits

    file = ModelFile(find_model_file())
    shape = read_hyperparameters(file)
    model = Model(shape, read_weights(file, shape.layers))
    tokens = documentation_tokens(TextTokenizer(file), contexts[-1] + 1)
    warm_up("float32", "float16", "bfloat16", attention=True)
    full = ConcatenatingCache(shape)
    prefill(model, full, tokens[:-1], f"prefill of {contexts[-1]:,} tokens")
    found: dict[str, Any] = {"contexts": {}}
    with threadpool_limits(1, user_api="blas"):
        for context in contexts:
            group = contestants(model, shortened(full, context), tokens[context])
            found["contexts"][str(context)] = summary(
                take_turns(model, group, rounds_at(context)), group
            )
            print(f"  {context:,} tokens of context: done", file=sys.stderr, flush=True)
            del group
        low = min(2000, contexts[-1] // 2)
        found["window"] = windows(model, full, tokens, (low, contexts[-1]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
