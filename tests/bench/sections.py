"""The sections of docs/benchmarks.md: each measures something and returns Markdown."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kvring import Append, Circular
from kvring.bench import Contestant, measure

from . import cases
from .eviction import eviction
from .parking import parking
from .ragged import ragged
from .saving import saving
from .surgery import section as beam_search
from .threads import threads
from .two_threads import two_threads

__all__ = ["ALL"]

SHAPES = ((8, 128), (3, 64))
LAYERS = ((4, (8, 128)), (30, (3, 64)))


def one_token() -> str:
    """One token, one layer, thirty layers in turn."""
    lines = [
        "\n## One token\n",
        "Thirty layers in turn. *update* against two slice assignments into preallocated arrays;",
        "*unpacked*: `keys, values = cache.update(...)`, in physical order once the ring has",
        "wrapped, against the two assignments and two slices. Limit 1.5, aim 1.0.\n",
        "| mode | kv_heads x head_dim | dtype | bare, us per layer | update | unpacked |",
        "|---|---|---|---|---|---|",
    ]
    rounds = 150
    new_tokens = 2 * (rounds + 2) * cases.STEPS
    for name, mode in (("append", Append(128 + new_tokens)), ("wrapped ring", Circular(1024, 4))):
        for dtype in ("float32", "float16"):
            for shape in SHAPES:
                cache = cases.filled(mode, 30, shape, dtype, 128 + new_tokens)
                if cache.room is not None:
                    cache.truncate(128)
                row = np.random.default_rng(0).random((1, 1, *shape)).astype(dtype)
                bare = cases.Bare.make(30, cache.rings[0].capacity, *shape, dtype)
                result = measure(cases.decode(cache, bare, row), rounds)
                microseconds = result.typical("bare") / cases.STEPS / 30 * 1e6
                ratios = (
                    result.ratio("update", to="bare"),
                    result.ratio("update, unpacked", to="bare, sliced"),
                )
                lines.append(
                    f"| {name} | {shape[0]} x {shape[1]} | {dtype} | {microseconds:.2f} | "
                    + " | ".join(f"{ratio:.2f}{_missed(ratio > 1.5)}" for ratio in ratios)
                    + " |"
                )
    return "\n".join(lines) + "\n"


def _missed(misses: bool) -> str:
    """What stands behind a number beyond its limit: a reader should not have to compare."""
    return " (missed)" if misses else ""


def many_tokens() -> str:
    """The same with few and with many tokens resident."""
    lines = [
        "\n## The same at 128 and at 131,072 resident tokens\n",
        "*update* against the two slice assignments with 128 and with 131,072 tokens resident, and",
        "how the second ratio compares with the first (limit 1.10); float32. Beside them the plain",
        "times at 131,072 over those at 128: small arrays stay in the processor's cache.\n",
        "| mode | layers | shape | at 128 | at 131,072 | second to first | update | bare |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rounds = 200
    new_tokens = (rounds + 2) * cases.STEPS
    for name, make in (
        ("append", lambda tokens: Append(tokens + new_tokens)),
        ("wrapped ring", lambda tokens: Circular(tokens)),
    ):
        for layers, shape in LAYERS:
            contestants = {}
            row = np.random.default_rng(0).random((1, 1, *shape), np.float32)
            for tokens in (128, 131_072):
                cache = cases.filled(make(tokens), layers, shape, "float32", tokens + new_tokens)
                if cache.room is not None:
                    cache.truncate(tokens)
                bare = cases.Bare.make(layers, cache.rings[0].capacity, *shape, "float32")
                decode = cases.decode(cache, bare, row)
                contestants |= {f"{key} {tokens}": decode[key] for key in ("update", "bare")}
                del cache, bare, decode
            result = measure(contestants, rounds)
            few, many = (result.ratio(f"update {n}", to=f"bare {n}") for n in (128, 131_072))
            lines.append(
                f"| {name} | {layers} | {shape[0]} x {shape[1]}"
                f" | {few:.2f} | {many:.2f} | {many / few:.2f}"
                f" | {result.ratio('update 131072', to='update 128'):.2f}"
                f" | {result.ratio('bare 131072', to='bare 128'):.2f} |"
            )
            del contestants
    return "\n".join(lines) + "\n"


def prefill() -> str:
    """A prompt of 2,048 tokens."""
    lines = [
        "\n## A prompt of 2,048 tokens\n",
        "All layers in turn, float32. Bandwidth as a share of `np.copyto` on the same rows, into",
        "memory of the same kind: untouched pages, pages written before, or (assembled) three",
        "quarters of them into new arrays and one into old ones. Assembled, twice as many bytes",
        "move: 1,027 old rows and all new ones into the view, and the 1,024 newest into slots;",
        "old rows of thirty layers come from main memory on top.\n",
        "| what | layers | shape | copyto, ms | share of its bandwidth | at least |",
        "|---|---|---|---|---|---|",
    ]
    for layers, shape in LAYERS:
        rows = np.random.default_rng(0).random((2, 1, 2048, *shape), np.float32)
        for name, contestants, least in _prefills(layers, rows):
            result = measure(contestants, rounds=25)
            share = 100 / result.ratio("update", to="copyto")
            lines.append(
                f"| {name} | {layers} | {shape[0]} x {shape[1]}"
                f" | {result.typical('copyto') * 1e3:.1f}"
                f" | {share:.0f} %{_missed(share < least)} | {least} % |"
            )
    return "\n".join(lines) + "\n"


def _prefills(layers: int, rows: np.ndarray) -> Iterator[tuple[str, dict[str, Contestant], int]]:
    append, ring = Append(4096), Circular(4096, 4)
    yield "full ring of 1,024: assembled", cases.assembled_prefill(1024, layers, rows), 45
    yield "append, fresh memory", cases.fresh_prefill(append, layers, rows), 90
    yield "append, warm memory", cases.warm_prefill(append, layers, rows), 90
    yield "ring with room, fresh memory", cases.fresh_prefill(ring, layers, rows), 90
    yield "ring with room, warm memory", cases.warm_prefill(ring, layers, rows), 90


def huge_pages() -> str:
    """What pages of 2 MiB give."""
    rows = np.random.default_rng(0).random((2, 1, 8192, 8, 128), np.float32)
    small = cases.fresh_prefill(Append(8192), 1, rows)["update"]
    huge = cases.fresh_prefill(Append(8192), 1, rows, huge_pages=True)["update"]
    filling = measure({"small": small, "huge": huge}, rounds=15)
    reading = measure(cases.full_reads(8192, (8, 128)), rounds=30)
    return f"""
## Huge pages

`KVCache(huge_pages=True)` against the default, one layer of 8 x 128, float32, 8,192 tokens.

| what | time, as a share of the default |
|---|---|
| filling memory for the first time | {filling.ratio("huge", to="small"):.2f} |
| reading all keys and values (one dot product per row) | {reading.ratio("huge", to="small"):.2f} |

They are off by default because a single token then commits 2 MiB in every plane of every layer.
"""


def start_up() -> str:
    """Loading and the first update, each in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        needed_alone(Path(folder))
        environment = os.environ | {"NUMBA_CACHE_DIR": f"{folder}/cache", "PYTHONPATH": folder}
        cold = _in_new_process(FIRST_UPDATE, environment, runs=1)
        warm = _in_new_process(FIRST_UPDATE, environment, runs=9)
        bare = _in_new_process(IMPORT.format("numpy"), environment, runs=9)
        ours = _in_new_process(IMPORT.format("kvring"), environment, runs=9)
    return f"""
## Starting up

In an environment with NumPy, Numba and kvring alone, as after `pip install kvring`: Numba imports
some packages wherever it finds them, coverage among them, which takes a tenth of a second more.

| what, in a fresh process | seconds | limit |
|---|---|---|
| `import kvring`, beyond `import numpy` | {max(ours - bare, 0):.3f} | 0.050 |
| first update, after NumPy, kernels in the disk cache | {warm:.2f} | 0.80 |
| the same with an empty disk cache | {cold:.2f} | |
"""


FIRST_UPDATE = """
import numpy as np
from time import perf_counter
row = np.ones((1, 1, 3, 64), np.float32)
started = perf_counter()
from kvring import Append, KVCache
KVCache(layers=30, kv_heads=3, head_dim=64, strategy=Append(4096)).update(0, row, row)
print(perf_counter() - started)
"""

IMPORT = """
from time import perf_counter
started = perf_counter()
import {}
import numpy
print(perf_counter() - started)
"""


def needed_alone(folder: Path) -> None:
    """Make a folder of modules that holds kvring and what it cannot do without."""
    for name in ("kvring", "numpy", "numba", "llvmlite"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        libraries = package.with_name(f"{name}.libs")  # of a wheel, beside its package
        for found in (package, libraries):
            if found.exists():
                (folder / found.name).symlink_to(found)


def _in_new_process(code: str, environment: dict[str, str], runs: int) -> float:
    """Median of what `code` prints."""
    command = [sys.executable, "-S", "-c", code]  # -S: nothing else that is installed
    printed = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(runs)
    ]
    return statistics.median(map(float, printed))


def memory() -> str:
    """Memory committed, with a million tokens reserved."""
    code = cases.RESIDENT_MEMORY
    lines = [
        "\n## Memory\n",
        "30 layers of 3 x 64, float32, 1,000,000 tokens reserved (46 GB of address space).",
        "Resident memory beyond the bytes of the rows, in pages of 4 KiB per plane (one stretch of",
        "memory that grows: K or V of a layer, and in BHSD of each head). Limit 1.\n",
        "| layout | construction, ms | planes | pages per plane after 1 token | after 128 |",
        "|---|---|---|---|---|",
    ]
    for layout, planes in (("BSHD", 60), ("BHSD", 180)):
        command = [sys.executable, "-c", code, layout]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds, one, many = map(float, printed.split())
        lines.append(
            f"| {layout} | {seconds * 1e3:.1f} | {planes} | {one / planes / 4096:.2f}"
            f" | {many / planes / 4096:.2f} |"
        )
    return "\n".join(lines) + "\n"


# The prompt comes first: its new arrays want an allocator that has not been used for much else.
ALL: tuple[Callable[[], str], ...] = (
    prefill,
    one_token,
    many_tokens,
    ragged,
    eviction,
    beam_search,
    huge_pages,
    memory,
    saving,
    parking,
    start_up,
    threads,
    two_threads,
)
