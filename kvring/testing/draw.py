"""What is tried: setups and moves, drawn by Hypothesis and made so that they shrink well.

A *move* is a step relative to where the cache stands ("two tokens more than the window", "back by
one", "the same once more"): a short tuple of small integers that means something in every state,
so that Hypothesis may drop any other move of a trace and the rest still makes sense. `step_of`
turns a move into a step; None where it makes none (no beams in a batch of one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from ..config import Append, Circular, Mode, Replace
from .draw_eviction import FORGETTING_MOVES, evicting_modes
from .draw_surgery import SURGERY_MOVES, width
from .names import SPOILS
from .setup import Setup
from .steps import (
    FORGETTING,
    Copy,
    Read,
    Reset,
    Save,
    Step,
    Truncate,
    Update,
)
from .supports import Supports
from .truth import Truth

__all__ = ["Move", "moves", "setups", "step_of"]

Move = tuple[str, int]  # what, and two small numbers that say how: 4 * (0 .. 9) + (0 .. 3)


def setups(supports: Supports) -> st.SearchStrategy[Setup]:
    """Setups with numbers so small that everything wraps within a few steps."""
    return _setups(supports, _modes(supports))  # once: making them takes longer than drawing


@st.composite
def _setups(draw: st.DrawFn, supports: Supports, modes: st.SearchStrategy[Mode]) -> Setup:
    layers = draw(st.integers(1, min(supports.most_layers, 3)))
    if supports.mixed_layers and layers > 1 and draw(st.booleans()):
        strategies = tuple(draw(modes) for _ in range(layers))
    else:
        strategies = (draw(modes),) * layers
    return Setup(
        strategies,
        batch=draw(st.integers(1, min(supports.most_batch, 3))),
        kv_heads=draw(st.integers(1, min(supports.most_kv_heads, 3))),
        head_dim=draw(st.sampled_from(supports.head_dims)),
        value_dim=draw(st.sampled_from(supports.head_dims)),
        dtype=draw(st.sampled_from(supports.dtypes)),
        layout=draw(st.sampled_from(supports.layouts)),
    )


def _modes(supports: Supports) -> st.SearchStrategy[Mode]:
    capacities = st.integers(1, 8)
    of_mode: dict[str, st.SearchStrategy[Mode]] = {
        "circular": st.builds(
            Circular,
            st.integers(*supports.windows),
            st.integers(0, supports.most_sink_tokens),
            st.integers(0, supports.most_rollback_tokens),
        ),
        "append": st.builds(Append, capacities),
        "replace": st.builds(Replace, capacities),
    }
    if supports.evictions:
        of_mode["append"] |= evicting_modes(supports, capacities)
    # Rings are where mistakes sit: they come first, and twice.
    names = ("circular", "circular", "append", "replace")
    return st.one_of([of_mode[name] for name in names if name in supports.modes])


# Moves by weight: what a cache does all day comes first and most often.
WEIGHTS = {
    "update": 5,
    "chunk": 4,
    "exact fit": 2,
    "truncate": 3,
    "truncate to": 1,
    "reset": 1,
    "read": 1,
    "empty": 1,
    "one layer": 1,
    "zero keys": 1,
    "ragged": 2,
    "total": 1,
    "wrong": 1,
    "copy": 1,
    "save": 1,
    "reorder": 1,
    "select": 1,
    "repeat": 1,
    "add": 1,
    "resize": 1,
    "pin": 1,
    "unpin": 1,
    "evict": 1,
    "touch": 1,
    "observe": 2,
}
NEEDS = {
    "truncate to": "truncate",
    "zero keys": "update",
    "chunk": "update",
    "exact fit": "update",
    "empty": "update",
    "one layer": "update",
    "total": "seq_len_form",
    "wrong": "wrong_shapes",
    "add": "add_batch_rows",
}


def moves(supports: Supports, most: int = 28) -> Any:
    """Lists of moves that the backend has operations for."""
    kinds = ["nothing"] + [
        kind
        for kind, weight in WEIGHTS.items()
        for _ in range(weight)
        if supports.has(NEEDS.get(kind, kind))
        and (kind != "empty" or supports.empty_updates)
        and (kind != "one layer" or supports.observes != "logits")  # a model takes all its layers
        and (supports.evictions or kind not in FORGETTING)
    ]
    # Both numbers in one: what Hypothesis draws is what a search spends most of its time on.
    move = st.tuples(st.sampled_from(kinds), st.integers(0, 39))
    # Hypothesis makes lists of about six: too few to wrap, go back and look. So two at a time.
    two = st.tuples(move, move)
    return st.lists(two, min_size=1, max_size=most // 2).map(lambda pairs: sum(pairs, ()))


def step_of(move: Move, truth: Truth, supports: Supports, most_tokens: int | None) -> Step | None:
    """The step that a move means now; None if it means none."""
    kind, numbers = move
    if kind == "nothing":
        return None
    number, other = divmod(numbers, 4)
    step = _MEANINGS[kind](number, other, truth)
    if isinstance(step, Update):
        step = _within(step, truth, supports, most_tokens)
    return step


def _within(
    step: Update, truth: Truth, supports: Supports, most_tokens: int | None
) -> Update | None:
    """The update if the backend may be asked for it."""
    room = truth.has_tags_for(step.tokens, most_tokens)
    longest = supports.most_chunk
    return step if room and (longest is None or step.tokens <= longest) else None


def _update(number: int, other: int, truth: Truth) -> Step:
    return Update(tokens=1 + (number == 9))


def _chunk(number: int, other: int, truth: Truth) -> Step:
    """1 .. W + 3 tokens."""
    return Update(tokens=1 + number % (width(truth) + 3))


def _exact_fit(number: int, other: int, truth: Truth) -> Step:
    """As many as still fit without a wrap, or one more."""
    capacity = truth.setup.capacity
    left = max(capacity - max(truth.seq_lens(0)), 1) if number % 2 else capacity
    return Update(tokens=left + (other == 3))


def _zero_keys(number: int, other: int, truth: Truth) -> Step:
    return Update(tokens=1 + number % 2, zero_keys=True)


def _one_layer(number: int, other: int, truth: Truth) -> Step:
    return Update(tokens=1 + number % 3, layer=other % truth.setup.layers)


def _ragged(number: int, other: int, truth: Truth) -> Step | None:
    sides = truth.supports.ragged
    if not sides:
        return None
    tokens = 1 + number % (width(truth) + 2)
    spread = (number, number + other, other * 3 + 1, number * 2 + other, other, number + 1)
    counts = tuple(spread[row] % (tokens + 1) for row in range(truth.batch))
    padding: Any = sides[other % len(sides)]
    return Update(tokens=tokens, token_counts=counts, padding=padding)


def _total(number: int, other: int, truth: Truth) -> Step | None:
    """The forms of ``seq_len=``: new rows, full history, nothing new, fewer."""
    if truth.batch > 1 or any(lens != truth.seq_lens(0) for lens in _all_lens(truth)):
        return None
    before, replaced = truth.seq_lens(0)[0], isinstance(truth.setup.strategy, Replace)
    if any(getattr(mode, "eviction", None) for mode in truth.setup.strategies):
        other = 0 if other == 1 else other  # the full history is not there to be given again
    if other == 2 and not replaced:
        return Update(tokens=0, seq_len=before)
    if other == 3 and not replaced:
        return Update(tokens=0, seq_len=max(before - number, -1))
    tokens = 1 + number % 4
    if replaced:
        return Update(tokens=tokens, seq_len=tokens)
    return Update(tokens=tokens, seq_len=before + tokens, history=other == 1)


def _wrong(number: int, other: int, truth: Truth) -> Step:
    return Update(tokens=1 + number % 3, spoiled=SPOILS[other])


def _truncate(number: int, other: int, truth: Truth) -> Step | None:
    """Back by 0, 1, 2, ...; to nothing; by more than there is; twice running by itself."""
    lens = [min(rows) for rows in zip(*_all_lens(truth), strict=True)]
    back = (1, 0, 2, 3, 1, 4, 5, 2, 6, 1)[number]
    if other == 3 and number > 5:
        wrong = (min(lens) + 1, -1)[number % 2]
        return None if not _in_step(truth) else Truncate(wrong)
    if len(set(lens)) > 1:
        return Truncate(tuple(max(n - (back + row * other) % 5, 0) for row, n in enumerate(lens)))
    return Truncate(0 if other == 3 else max(lens[0] - back, 0))


def _truncate_to(number: int, other: int, truth: Truth) -> Step | None:
    lens = [min(rows) for rows in zip(*_all_lens(truth), strict=True)]
    return Truncate(min(number, *lens))


def _all_lens(truth: Truth) -> list[list[int]]:
    return [truth.seq_lens(layer) for layer in range(truth.setup.layers)]


def _in_step(truth: Truth) -> bool:
    return len({n for lens in _all_lens(truth) for n in lens}) == 1


_MEANINGS: dict[str, Callable[[int, int, Truth], Step | None]] = {
    "update": _update,
    "chunk": _chunk,
    "exact fit": _exact_fit,
    "empty": lambda number, other, truth: Update(tokens=0),
    "zero keys": _zero_keys,
    "one layer": _one_layer,
    "ragged": _ragged,
    "total": _total,
    "wrong": _wrong,
    "truncate": _truncate,
    "truncate to": _truncate_to,
    "reset": lambda number, other, truth: Reset(),
    "read": lambda number, other, truth: Read(),
    "copy": lambda number, other, truth: Copy(original=bool(other % 2)),
    "save": lambda number, other, truth: Save(),
    **SURGERY_MOVES,
    **FORGETTING_MOVES,
}
