"""Which vectors a backend can be asked for, by its declaration, and in which dtype and layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...config import Circular
from ..kinds import kind_of
from ..setup import Setup, mode_name, policy_name
from ..steps import FORGETTING, AddBatchRows, Copy, Step, Trace, Update
from ..supports import Supports

if TYPE_CHECKING:
    from . import Vector

__all__ = ["fitted", "why_not"]

# What a vector has that is not about dtypes, layouts or widths; the backend's own do as well.
USUAL = Setup(())


def fitted(trace: Trace, supports: Supports) -> Trace:
    """The trace in a dtype, layout and width of the backend, where it asks for no special one.

    What a query sees depends on none of the three.
    """
    setup, changes = trace.setup, dict[str, Any]()
    if setup.dtype == USUAL.dtype not in supports.dtypes:
        changes["dtype"] = supports.dtypes[0]
    if setup.layout == USUAL.layout not in supports.layouts:
        changes["layout"] = supports.layouts[0]
    widest = max(supports.head_dims)
    if setup.head_dim == setup.value_dim == USUAL.head_dim and (
        USUAL.head_dim not in supports.head_dims or supports.observes == "outputs"
    ):
        changes.update(head_dim=widest, value_dim=widest)
    return replace(trace, setup=replace(setup, **changes))


def why_not(vector: Vector, supports: Supports) -> str:
    """Why a backend of this declaration cannot be asked for a vector; empty if it can.

    Examples
    --------
    >>> from kvring.testing.vectors import vectors
    >>> why_not(vectors("append")[0], Supports(modes=("circular",)))
    'no append mode'
    """
    reasons = [
        *_of_setup(vector.trace.setup, supports),
        *(reason for step in vector.trace.steps for reason in _of_step(step, supports)),
        *_of_tokens(vector, supports),
    ]
    return reasons[0] if reasons else ""


def _of_setup(setup: Setup, supports: Supports) -> Iterator[str]:
    for mode in setup.strategies:
        if mode_name(mode) not in supports.modes:
            yield f"no {mode_name(mode)} mode"
        policy = policy_name(mode)
        if policy and policy not in supports.evictions:
            yield f"no eviction by {policy}"
        if isinstance(mode, Circular):
            yield from _of_ring(mode, supports)
    if len(set(setup.strategies)) > 1 and not supports.mixed_layers:
        yield "layers of different strategies"
    for name, value, known in (
        ("dtype", setup.dtype, supports.dtypes),
        ("layout", setup.layout, supports.layouts),
        ("head_dim", setup.head_dim, supports.head_dims),
        ("value_dim", setup.value_dim, supports.head_dims),
    ):
        if value not in known:
            yield f"{name} {value}"
    for name, count, most in (
        ("layers", setup.layers, supports.most_layers),
        ("batch", setup.batch, supports.most_batch),
        ("kv_heads", setup.kv_heads, supports.most_kv_heads),
    ):
        if count > most:
            yield f"{name} above {most}"


def _of_ring(mode: Circular, supports: Supports) -> Iterator[str]:
    smallest, largest = supports.windows
    if not smallest <= mode.window <= largest:
        yield f"window outside {smallest} .. {largest}"
    if mode.sink_tokens > supports.most_sink_tokens:
        yield f"sink_tokens above {supports.most_sink_tokens}"
    if mode.rollback_tokens > supports.most_rollback_tokens:
        yield f"rollback_tokens above {supports.most_rollback_tokens}"


def _of_step(step: Step, supports: Supports) -> Iterator[str]:
    needed, tokens = [step.op], 0
    if isinstance(step, (Update, AddBatchRows)):
        tokens = step.tokens
    if step.op in FORGETTING and not supports.evictions:
        yield f"no {step.op}"
    if isinstance(step, Update):
        needed += ["seq_len_form"] * (step.seq_len is not None)
        needed += ["ragged"] * (step.token_counts is not None)
        needed += ["wrong_shapes"] * bool(step.spoiled)
        if supports.observes == "logits" and (step.layer is not None or step.history):
            yield "a model updates all layers, with new tokens alone"
    for operation in needed:
        if not supports.has(operation):
            yield f"no {operation}: {supports.without[operation]}"
    if "ragged" in needed and isinstance(step, Update) and step.padding not in supports.ragged:
        yield f"no padding on the {step.padding}"
    if supports.most_chunk is not None and tokens > supports.most_chunk:
        yield f"updates of more than {supports.most_chunk} tokens"


def _of_tokens(vector: Vector, supports: Supports) -> Iterator[str]:
    """What depends on where the layers and batch rows stand, and how many tokens there are."""
    lens: list[list[int]] = []
    for expect in vector.expect:
        apart = any(layer != lens[0] for layer in lens)
        beyond = expect.get("refused") == "PositionError"
        if apart and beyond and supports.too_many == "clamped":
            yield "a clamped truncate where layers differ"
        lens = expect.get("seq_lens", lens)
        if not supports.ragged and any(len(set(layer)) > 1 for layer in lens):
            yield "batch rows of different lengths"
    most = kind_of(vector.trace.setup, supports).most_tokens
    if most is not None and _tokens(vector.trace) > most:
        yield f"more than {most} tokens"


def _tokens(trace: Trace) -> int:
    """How many the trace takes, with those that tell a copy from its original."""
    steps = trace.steps
    taken = sum(step.tokens for step in steps if isinstance(step, (Update, AddBatchRows)))
    return taken + 2 * sum(isinstance(step, Copy) for step in steps)
