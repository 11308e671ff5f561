"""Which cases there are: operations and shapes, all within 24 GiB of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .attention_rival import AttentionSetup
from .rival import Setup

__all__ = ["Case", "cases"]

Operation = Literal[
    "update", "chunk", "prefill", "read", "truncate", "attention", "memory", "first use"
]

UPDATED = {"float32": (128, 1024, 8192, 131_072), "float16": (1024,)}
CONTEXT = 32_768
ATTENDED = (1024, 4096, 16_384, 65_536)


@dataclass(frozen=True)
class Case:
    """One operation in one shape.

    Parameters
    ----------
    operation : str
    family, column : str
        Its shape, for people: what cases of one table have in common, and what differs.
    setup : Setup or AttentionSetup
        What its rivals are built for.
    tokens : int
        Tokens resident (update, read, truncate, memory), or given (chunk, prefill).
    quick : bool
        Whether it is in the short run.
    """

    operation: Operation
    family: str
    column: str
    setup: Setup | AttentionSetup
    tokens: int
    quick: bool = False

    @property
    def shape(self) -> str:
        """All that distinguishes it from other cases of its operation."""
        return f"{self.column}, {self.family}" if self.column else self.family

    @property
    def title(self) -> str:
        """Operation and shape."""
        return f"{self.operation}: {self.shape}"


def cases(*, quick: bool = False) -> list[Case]:
    """All cases, or those of the short run."""
    every = [*_updates(), *_windows(), *_others(), *_attention(), *_processes()]
    return [case for case in every if case.quick or not quick]


def _updates() -> Iterator[Case]:
    for dtype, sizes in UPDATED.items():
        for tokens in sizes:
            setup = Setup(1, 8, 128, dtype, tokens + 4096)
            family, column = f"append, 8 x 128, {dtype}", f"{tokens:,} tokens resident"
            yield Case("update", family, column, setup, tokens, quick=tokens in (1024, 8192))


def _windows() -> Iterator[Case]:
    for window in (1024, 8192):
        setup = Setup(1, 8, 128, "float32", window, window)
        family, column = "full window, 8 x 128, float32", f"window of {window:,}"
        yield Case("update", family, column, setup, window + 1, quick=window == 1024)
    for tokens in (64, 2048):
        setup = Setup(4, 8, 128, "float32", 1024, 1024)
        family = "into a full window of 1,024, 4 layers of 8 x 128, float32"
        yield Case("chunk", family, f"{tokens:,} tokens", setup, tokens, quick=tokens == 64)


def _others() -> Iterator[Case]:
    layers = "4 layers of 8 x 128, float32"
    setup = Setup(4, 8, 128, "float32", 4096 + 64)
    yield Case("prefill", layers, "2,000 tokens", setup, 2000, quick=True)
    yield Case("read", layers, "append, 4,096 tokens resident", setup, 4096)
    ring = Setup(4, 8, 128, "float32", 4096, 4096)
    yield Case("read", layers, "full window of 4,096", ring, 4097)
    yield Case("truncate", layers, "the 4 newest of 4,100 tokens", setup, 4096)


def _attention() -> Iterator[Case]:
    for threads in (1, 2):
        for dtype in ("float32", "float16", "bfloat16"):
            for rows in ATTENDED:
                setup = AttentionSetup(8, 32, 128, dtype, rows, threads)
                counted = "one thread" if threads == 1 else f"{threads} threads"
                family = f"8 x 128, 32 query heads, {dtype}, {counted}"
                quick = threads == 1 and rows == 4096
                yield Case("attention", family, f"{rows:,} rows", setup, rows, quick=quick)


def _processes() -> Iterator[Case]:
    layers = "4 layers of 3 x 64, float32"
    for window in (None, 1024):
        setup = Setup(4, 3, 64, "float32", CONTEXT, window)
        kept = "append" if window is None else f"window of {window:,}"
        yield Case("memory", layers, f"after 10,000 tokens, {kept}", setup, 10_000)
        yield Case("first use", layers, kept, setup, 1)
