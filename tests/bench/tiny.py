"""Cases small enough to run in every test run, also without compilation."""

from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.catalogue import Case
from kvring.bench.rival import Setup

APPEND = Setup(2, 2, 8, "float32", 20_000)
HALF = Setup(2, 2, 8, "float16", 20_000)
WINDOW = Setup(2, 2, 8, "float32", 16, 16)

CACHE_CASES = [
    Case("update", "append", "40 tokens", APPEND, 40),
    Case("update", "append, float16", "40 tokens", HALF, 40),
    Case("update", "window", "full", WINDOW, 17),
    Case("chunk", "window", "4 tokens", WINDOW, 4),
    Case("chunk", "window", "40 tokens", WINDOW, 40),
    Case("prefill", "append", "40 tokens", APPEND, 40),
    Case("read", "append", "40 tokens", APPEND, 40),
    Case("read", "window", "full", WINDOW, 17),
    Case("truncate", "append", "40 tokens", APPEND, 40),
]
ATTENTION_CASES = [
    Case(
        "attention",
        f"{dtype}, {threads} threads",
        "20 rows",
        AttentionSetup(2, 4, 8, dtype, 20, threads),
        20,
    )
    for dtype in ("float32", "float16", "bfloat16")
    for threads in (1, 2)
]
PROCESS_CASES = [
    Case("memory", "append", "", Setup(1, 2, 8, "float32", 10_000), 10_000),
    Case("first use", "append", "", Setup(1, 2, 8, "float32", 200), 1),
]
