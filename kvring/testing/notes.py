"""A step in words, as it stands in a report."""

from __future__ import annotations

from .setup import Setup
from .steps import (
    AddBatchRows,
    Copy,
    Evict,
    Observe,
    Pin,
    Read,
    Reorder,
    Repeat,
    Reset,
    Resize,
    Save,
    Select,
    Step,
    Touch,
    Truncate,
    Unpin,
    Update,
)
from .truth import Truth

__all__ = ["note_of", "setup_in_words"]


def note_of(step: Step, truth: Truth) -> str:
    """What a step is about to do, with the positions and tokens it is about."""
    if isinstance(step, Update):
        return _update(step, truth)
    if isinstance(step, Truncate):
        return f"truncate to {_listed(step.seq_len)}, from {_listed(truth.seq_lens(0))}"
    if isinstance(step, AddBatchRows):
        rows = "1 batch row" if step.batch_rows == 1 else f"{step.batch_rows} batch rows"
        return f"add {rows} of another cache, with {step.tokens} tokens each"
    if isinstance(step, (Reorder, Select)):
        return f"{step.op} batch rows {list(step.batch_rows)}"
    if isinstance(step, Resize):
        return f"resize to {', '.join(f'{name}={n}' for name, n in step.numbers.items())}"
    if isinstance(step, Repeat):
        return f"repeat every batch row {step.times} times"
    if isinstance(step, (Pin, Unpin, Evict)):
        return f"{step.op} positions {list(step.positions)}"
    if isinstance(step, Touch):
        return f"touch positions {list(step.positions)} in layer {step.layer}"
    if isinstance(step, Observe):
        return f"observe weights of {list(step.sixteenths)} sixteenths in layer {step.layer}"
    if isinstance(step, Copy):
        return f"copy, and go on with the {'original' if step.original else 'copy'}"
    plain = {Reset: "reset", Read: "read", Save: "save and load"}
    return plain[type(step)]


def _update(step: Update, truth: Truth) -> str:
    first = truth.next_tag(step)
    counted = f"{step.tokens} token{'' if step.tokens == 1 else 's'}"
    parts = [f"update with {counted}"]
    if step.tokens:
        parts.append(f"({first} .. {first + step.tokens - 1})" if step.tokens > 1 else f"({first})")
    if step.token_counts is not None:
        parts.append(f"of which {list(step.token_counts)} are real, padded on the {step.padding}")
    if step.seq_len is not None:
        parts.append(f"with seq_len={step.seq_len}")
        if step.history:
            parts.append("and the full history")
    if step.zero_keys:
        parts.append("whose keys are all zero")
    if step.spoiled:
        parts.append(f"that does not fit: {step.spoiled}")
    if step.layer is not None:
        parts.append(f"in layer {step.layer} only")
    return " ".join(parts)


def _listed(numbers: int | list[int] | tuple[int, ...]) -> str:
    if isinstance(numbers, int):
        return str(numbers)
    return str(numbers[0]) if len(set(numbers)) == 1 else str(list(numbers))


def setup_in_words(setup: Setup) -> str:
    """The setup in one or two lines."""
    modes = list(dict.fromkeys(map(repr, setup.strategies)))
    layers = f"{setup.layers} layer{'' if setup.layers == 1 else 's'}"
    widths = (
        f"{setup.head_dim}"
        if setup.head_dim == setup.value_dim
        else (f"{setup.head_dim} (V: {setup.value_dim})")
    )
    rows = f"batch {setup.batch}, kv_heads {setup.kv_heads} of {widths}"
    return f"{' and '.join(modes)}; {layers}, {rows}, {setup.dtype}, {setup.layout}"
