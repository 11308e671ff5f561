"""Tokens a second and memory of `generate` with RingCache, beside the caches of transformers.

``make bench-generate`` writes docs/benchmarks/generate.md. One prompt is run once; every cache gets
its rows, so all of them continue the same text. They take turns, one token each, in one process.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import torch
from transformers import DynamicCache, StaticCache

from kvring import warm_up
from kvring.adapters.transformers import RingCache
from tests.bench import machine
from tests.users.smollm2 import load
from tests.users.tiny import run

DOCS = Path(__file__).parents[2] / "docs"
PAGE, DATA = DOCS / "benchmarks" / "generate.md", DOCS / "benchmarks" / "generate.json"
WARM_UP, ROUNDS, CHUNK, MEMORY_TOKENS = 3, 40, 512, 8
RING = "`RingCache`"
IN_PLACE = f'{RING}, `attn_implementation="kvring"`'
LIBC = ctypes.CDLL(None)


def contestants(config, context):
    """Name, attention and how to make an empty cache; static ones know how long the text gets."""
    longest = context + WARM_UP + ROUNDS + 1
    return {
        "`DynamicCache`": ("sdpa", partial(DynamicCache, config=config)),
        "`StaticCache`": ("sdpa", partial(StaticCache, config=config, max_cache_len=longest)),
        RING: ("sdpa", partial(RingCache, config)),
        IN_PLACE: ("kvring", partial(RingCache, config)),
    }


def text_tokens(tokenizer, count):
    """The project's own documentation, as often as it takes."""
    text = "\n".join(path.read_text() for path in sorted(DOCS.glob("*.md")))
    ids = tokenizer(text, return_tensors="pt").input_ids
    return ids.repeat(1, -(-count // ids.shape[1]))[:, :count]


def prompt_rows(model, ids):
    """Keys and values of a prompt, one pair of tensors per layer."""
    cache = DynamicCache(config=model.config)
    for start in range(0, ids.shape[1], CHUNK):
        run(model, cache, ids[:, start : start + CHUNK], logits_to_keep=1)
        print(f"\r  prompt: {start:,} tokens", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [(layer.keys, layer.values) for layer in cache.layers]


def fill(cache, rows, context):
    """The first `context` tokens of the prompt, as chunks of it would have come."""
    for start in range(0, context, CHUNK):
        stop = min(start + CHUNK, context)
        for number, (keys, values) in enumerate(rows):
            cache.update(keys[:, :, start:stop], values[:, :, start:stop], number)
    return cache


def step(model, attention, cache, token):
    """Seconds for one more token, and the token after it."""
    model.set_attn_implementation(attention)
    begun = time.perf_counter()
    logits = run(model, cache, token)
    return time.perf_counter() - begun, logits[:, -1:].argmax(-1)


def peak_mib(model, attention, make, rows, context, token):
    """The most memory that filling a cache and some steps take, above what was there before."""
    gc.collect()
    LIBC.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = status("VmRSS")
    cache = fill(make(), rows, context)
    for _ in range(MEMORY_TOKENS):
        _, token = step(model, attention, cache, token)
    return (status("VmHWM") - before) / 1024


def status(name):
    """A line of what Linux says about this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def measured(model, rows, ids, context):
    """One length of context: each contestant's seconds per token, first other token, memory."""
    group = contestants(model.config, context)
    first = ids[:, context : context + 1]
    memory = {
        name: peak_mib(model, attention, make, rows, context, first)
        for name, (attention, make) in group.items()
    }
    caches = {name: fill(make(), rows, context) for name, (_, make) in group.items()}
    nexts = dict.fromkeys(group, first)
    texts = {name: [] for name in group}
    seconds = {name: [] for name in group}
    for number in range(WARM_UP + ROUNDS):
        for name in list(group) if number % 2 else reversed(group):
            taken, nexts[name] = step(model, group[name][0], caches[name], nexts[name])
            texts[name].append(int(nexts[name]))
            if number >= WARM_UP:
                seconds[name].append(taken)
    usual = texts[next(iter(group))]
    assert all(text[:WARM_UP] == usual[:WARM_UP] for text in texts.values()), texts
    return {
        name: {
            "tokens_per_second": 1 / statistics.median(seconds[name]),
            "against": [against(seconds[rival], seconds[name]) for rival in list(group)[:2]],
            "peak_mib": memory[name],
            "same_tokens": sum(a == b for a, b in zip(texts[name], usual, strict=True)),
        }
        for name in group
    }


def against(theirs, ours):
    """How many times as fast, as the median over rounds."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def table(found):
    """The page."""
    facts = found["facts"]
    versions = {name: facts["versions"].get(name) for name in ("torch", "transformers", "numpy")}
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    contexts = list(found["contexts"])
    heads = " | ".join(f"{int(context):,} tokens of context" for context in contexts)
    header = f"""# Hugging Face generate

Written by `make bench-generate` on {facts["date"]}; do not edit by hand. {facts["machine"]};
kvring {facts["kvring"]} ({facts["commit"]}), Python {facts["python"]}, {named};
{found["threads"]} threads.

SmolLM2-135M in float32, greedy, a batch of one. All caches continue the same text, and take turns
token by token. Each cell: tokens a second; in brackets how many times as fast as `DynamicCache` and
as `StaticCache`, medians over rounds; and the most memory that cache and steps took, above the
model. Attention is `sdpa` where nothing else is said; torch compiles nothing; `StaticCache` is
as long as the text becomes.
"""
    lines = [
        header,
        f"| | {heads} |",
        "|---" * (len(contexts) + 1) + "|",
    ]
    for name in found["contexts"][contexts[0]]:
        cells = []
        for context in contexts:
            of = found["contexts"][context][name]
            ratios = ", ".join(f"{ratio:.2f}" for ratio in of["against"])
            cells.append(f"{of['tokens_per_second']:.1f} ({ratios}); {of['peak_mib']:,.0f} MiB")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    count = WARM_UP + ROUNDS
    others = [
        f"{name} at {int(context):,}: {of['same_tokens']}"
        for context in contexts
        for name, of in found["contexts"][context].items()
        if of["same_tokens"] < count
    ]
    told = f"Of {count} tokens, those that are also `DynamicCache`'s: " + "; ".join(others)
    same = f"All {count} tokens are those of `DynamicCache`"
    lines.append(f"\n{told if others else same}.\n")
    return "\n".join(lines)


def main():
    """Measure, print the table, and write it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, nargs="+", default=[512, 2048, 8000])
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    warm_up("float32", attention=True)
    model, tokenizer = load()
    ids = text_tokens(tokenizer, max(options.contexts) + 1)
    found = {"facts": machine.facts(), "threads": torch.get_num_threads(), "contexts": {}}
    with torch.no_grad():
        rows = prompt_rows(model, ids[:, :-1])
        for context in options.contexts:
            found["contexts"][str(context)] = measured(model, rows, ids, context)
            print(f"  {context:,} tokens of context: done", file=sys.stderr, flush=True)
    print(table(found))
    if not options.dry:
        DATA.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(table(found))


if __name__ == "__main__":
    main()
