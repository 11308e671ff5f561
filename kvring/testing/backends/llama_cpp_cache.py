"""llama.cpp's caches inside a tiny model, through `llama-cpp-python`, seen through its logits.

Every batch row is a sequence of one context. What happens to batch rows happens to sequences, as a
server does it: copied, removed, and moved to another context through their state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import llama_cpp as llama
import numpy as np

from ..kinds.logits import VOCABULARY
from ..observations import Logits, UnsupportedError
from ..setup import Setup
from ..supports import Supports
from .llama_cpp_context import LONG, SEQUENCES, Context
from .llama_cpp_model import logits_without_cache

__all__ = [
    "apart",
    "crowded",
    "flash",
    "full",
    "shifted",
    "shifted_apart",
    "window",
    "window_apart",
    "window_full",
]

SUPPORTS = Supports(
    observes="logits",
    modes=("append",),
    most_kv_heads=1,  # the model has heads of its own
    overflow="grows",
    without={"wrong_shapes": "token ids have none"},
)


class Backend:
    """Batch rows are sequences; `sequences` says which."""

    def __init__(self, setup: Setup, context: Callable[[], Context]) -> None:
        self.layers, self.make, self.context = setup.layers, context, context()
        self.sequences = list(range(setup.batch))
        self.seen = [0] * setup.batch

    def update(
        self, token_ids: Any, token_counts: list[int] | None = None, padding: str = "right"
    ) -> Logits:
        """One batch of all sequences; there is no padding in it."""
        batch, tokens = token_ids.shape
        counts = token_counts or [tokens] * batch
        real = [
            range(count) if padding == "right" else range(tokens - count, tokens)
            for count in counts
        ]
        placed = [
            (int(token_ids[row, at]), self.seen[row] + n, self.sequences[row])
            for row in range(batch)
            for n, at in enumerate(real[row])
        ]
        logits = np.zeros((batch, tokens, VOCABULARY), np.float32)
        if placed:
            decoded = iter(self.context.decode(placed))
            for row in range(batch):
                for at in real[row]:
                    logits[row, at] = next(decoded)
        self.seen = [seen + count for seen, count in zip(self.seen, counts, strict=True)]
        return Logits(logits)

    def uncached(self, token_ids: Any, mask: Any) -> Any:
        """In NumPy."""
        return logits_without_cache(self.layers, token_ids, mask)

    def seq_len(self, layer: int) -> list[int]:
        """What comes after the newest position that is there; callers count where it may go."""
        if self.window():
            return list(self.seen)
        newest = llama.llama_memory_seq_pos_max
        return [newest(self.context.memory, sequence) + 1 for sequence in self.sequences]

    def truncate(self, seq_len: int | list[int]) -> None:
        """`llama_memory_seq_rm` from a position on."""
        rows = range(len(self.seen))
        wanted = [seq_len] * len(self.seen) if isinstance(seq_len, int) else seq_len
        if any(not 0 <= wanted[row] <= self.seen[row] for row in rows):
            raise IndexError("there is nothing to drop")
        for row in rows:
            self.check_resident(row, wanted[row])
        for row in rows:
            if not llama.llama_memory_seq_rm(
                self.context.memory, self.sequences[row], wanted[row], -1
            ):
                raise RuntimeError("a part of a sequence cannot be removed")
        self.seen = list(wanted)

    def check_resident(self, row: int, seq_len: int) -> None:
        """As a server asks: the window before a position must still be there."""
        width = self.window()
        first = llama.llama_memory_seq_pos_min(self.context.memory, self.sequences[row])
        if width and seq_len and first > max(0, seq_len - width):
            raise RuntimeError("the window is gone")

    def window(self) -> int:
        """What the model says its window is; 0 for none."""
        return int(llama.llama_model_n_swa(llama.llama_get_model(self.context.pointer)))

    def reset(self) -> None:
        """Forget everything."""
        llama.llama_memory_clear(self.context.memory, True)
        self.seen = [0] * len(self.seen)

    def copy(self) -> Backend:
        """Every sequence in a context of its own kind, through its state."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied.context = self.make()
        copied.sequences, copied.seen = list(range(len(self.seen))), list(self.seen)
        for row, sequence in enumerate(self.sequences):
            if self.seen[row]:
                copied.context.restore(self.context.state(sequence), row)
        return copied

    def save_and_load(self) -> Backend:
        """The state of the whole context."""
        loaded = self.copy()
        llama.llama_memory_clear(loaded.context.memory, True)
        loaded.context.restore_all(self.context.state_of_all())
        loaded.sequences = list(self.sequences)
        return loaded

    def reorder(self, batch_rows: list[int]) -> None:
        """As beam search does: the sequences that go on, copied where they go on twice."""
        self.select(batch_rows)

    def select(self, batch_rows: list[int]) -> None:
        """Sequences are removed, copied, or go by another row."""
        sequences, seen = self.sequences, self.seen
        for sequence in set(sequences) - {sequences[row] for row in batch_rows}:
            llama.llama_memory_seq_rm(self.context.memory, sequence, -1, -1)
        self.sequences, self.seen = [], []
        for row in batch_rows:
            taken = sequences[row]
            if taken in self.sequences:
                taken = self.free(sequences)
                llama.llama_memory_seq_cp(self.context.memory, sequences[row], taken, -1, -1)
            self.sequences.append(taken)
            self.seen.append(seen[row])

    def repeat(self, times: int) -> None:
        """Each sequence so many times, one after the other."""
        if len(self.seen) * times > SEQUENCES:
            raise UnsupportedError("the context is for fewer sequences")
        self.select([row for row in range(len(self.seen)) for _ in range(times)])

    def add_batch_rows(self, other: Backend) -> None:
        """The sequences of another context, through their state."""
        if len(self.seen) + len(other.seen) > SEQUENCES:
            raise UnsupportedError("the context is for fewer sequences")
        for sequence, seen in zip(other.sequences, other.seen, strict=True):
            taken = self.free([])
            if seen:
                self.context.restore(other.context.state(sequence), taken)
            self.sequences.append(taken)
            self.seen.append(seen)

    def free(self, others: list[int]) -> int:
        """A sequence that no batch row has, and none of the others."""
        return min(set(range(SEQUENCES)) - set(self.sequences) - set(others))


class Shifted(Backend):
    """The oldest tokens go, and all others move back, as when a context is full."""

    def __init__(self, setup: Setup, context: Callable[[], Context]) -> None:
        super().__init__(setup, context)
        self.most_tokens = setup.window
        if not llama.llama_memory_can_shift(self.context.memory):
            raise UnsupportedError("the memory says that it cannot shift")

    def update(
        self, token_ids: Any, token_counts: list[int] | None = None, padding: str = "right"
    ) -> Logits:
        """Room for one token first."""
        for row, sequence in enumerate(self.sequences):
            old = self.seen[row] + 1 - self.most_tokens
            if old > 0 and (token_counts is None or token_counts[row]):
                memory = self.context.memory
                llama.llama_memory_seq_rm(memory, sequence, 0, old)
                llama.llama_memory_seq_add(memory, sequence, old, -1, -old)
                self.seen[row] -= old
        return super().update(token_ids, token_counts, padding)

    def seq_len(self, layer: int) -> list[int]:
        """Positions are new after every shift."""
        raise UnsupportedError("positions are counted anew")

    def truncate(self, seq_len: int | list[int]) -> None:
        """Likewise."""
        raise UnsupportedError("positions are counted anew")


def made(setup: Setup, window: int, **options: Any) -> Backend:
    """A backend of contexts with these options."""
    return Backend(setup, lambda: Context(setup.layers, window, **options))


def full(setup: Setup) -> Backend:
    """Everything is seen, and all sequences share one buffer."""
    return made(setup, 0)


def apart(setup: Setup) -> Backend:
    """Everything is seen, and every sequence has a buffer of its own."""
    return made(setup, 0, kv_unified=False, n_ctx=LONG * SEQUENCES)


def flash(setup: Setup) -> Backend:
    """The same with flash attention."""
    return made(setup, 0, flash_attn_type=1)


def window(setup: Setup) -> Backend:
    """A window in all layers, with a buffer that reuses what is out of it."""
    return made(setup, setup.window, swa_full=False)


def window_full(setup: Setup) -> Backend:
    """A window in all layers, with a buffer for everything."""
    return made(setup, setup.window, swa_full=True)


def window_apart(setup: Setup) -> Backend:
    """A window in all layers, with a buffer for every sequence."""
    return made(setup, setup.window, swa_full=False, kv_unified=False, n_ctx=LONG * SEQUENCES)


def crowded(setup: Setup) -> Backend:
    """A window in all layers, small steps, and a neighbour that has left few cells unused."""

    def context() -> Context:
        sizes = {"n_ctx": 4 * LONG, "n_ubatch": 4, "n_seq_max": SEQUENCES + 1}
        new = Context(setup.layers, setup.window, swa_full=False, **sizes)
        for first in range(0, LONG - 16, 16):
            new.decode([(0, first + n, SEQUENCES) for n in range(16)])
        return new

    return Backend(setup, context)


def shifted(setup: Setup) -> Backend:
    """A context that is shifted for every token; exact in a model of one layer."""
    return Shifted(setup, lambda: Context(setup.layers, 0))


def shifted_apart(setup: Setup) -> Backend:
    """The same, with a buffer for every sequence."""
    sizes = {"kv_unified": False, "n_ctx": LONG * SEQUENCES}
    return Shifted(setup, lambda: Context(setup.layers, 0, **sizes))


_WINDOW = replace(SUPPORTS, modes=("circular",), most_sink_tokens=0, most_rollback_tokens=0)
for _factory, _supports in {
    full: SUPPORTS,
    apart: SUPPORTS,
    flash: SUPPORTS,
    window: replace(_WINDOW, truncate="at_least"),
    window_full: replace(_WINDOW, truncate="at_least"),
    window_apart: replace(_WINDOW, truncate="at_least"),
    crowded: replace(_WINDOW, truncate="may_refuse"),
    shifted: replace(_WINDOW, most_layers=1, most_chunk=1),
    shifted_apart: replace(_WINDOW, most_layers=1, most_chunk=1),
}.items():
    _factory.supports = _supports  # type: ignore[attr-defined]
