"""What must follow from each step of a vector, according to the reference; and the files' form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..names import Token, token_id
from ..setup import Setup
from ..steps import (
    AddBatchRows,
    Copy,
    Forget,
    Read,
    Reset,
    Resize,
    Save,
    Step,
    Trace,
    Truncate,
    Update,
    step_from_json,
    step_to_json,
)
from ..supports import Supports
from ..truth import QueryTruth, Truth

__all__ = ["file_text", "filled_file", "outcomes"]

WIDTH = 100
Outcome = tuple[Any, dict[str, Any]]  # given, expect


def outcomes(trace: Trace) -> list[Outcome]:
    """For each step the ids of new tokens, None where it has none, and what must follow.

    Raises
    ------
    ValueError
        If a step is refused after some of the layers have taken it.
    """
    truth = Truth(trace.setup, Supports())
    return [_outcome(truth, step) for step in trace.steps]


def _outcome(truth: Truth, step: Step) -> Outcome:
    if isinstance(step, Update):
        return _update(truth, step)
    given = None
    if isinstance(step, Truncate):
        refusal = truth.truncate_refusal(step)
        if refusal is not None:
            return None, {"refused": type(refusal).__name__}
        truth.truncate(step.seq_len)
    elif isinstance(step, Reset):
        truth.reset()
    elif isinstance(step, Copy):
        given = _ids(truth.new_tokens(Update(1)))  # the one put away takes it at once
    elif isinstance(step, AddBatchRows):
        other = Truth(truth.setup.with_batch(step.batch_rows), Supports())
        other.share_names(truth)
        if step.tokens:
            given = _update(other, Update(step.tokens))[0]
        truth.rearrange(step, other)
        truth.share_names(other)
    elif isinstance(step, Resize):
        refusal = truth.resize_refusal(step)
        if refusal is not None:
            return None, {"refused": type(refusal).__name__}
        truth.resize(step)
    elif isinstance(step, Forget):
        refusal = truth.forget_refusal(step)
        if refusal is not None:
            return None, {"refused": type(refusal).__name__}
        truth.forget(step)
    elif not isinstance(step, (Read, Save)):
        truth.rearrange(step)
    return given, _state(truth, [truth.read(layer) for layer in range(truth.setup.layers)])


def _update(truth: Truth, step: Update) -> Outcome:
    tokens = truth.new_tokens(step)
    given = _ids(tokens)
    if step.spoiled:
        return given, {"refused": "ShapeError"}
    layers = range(truth.setup.layers)
    updated = list(layers) if step.layer is None else [step.layer]
    seen: list[list[list[QueryTruth]] | None] = [None for _ in layers]
    for layer in updated:
        refusal = truth.refusal(layer, tokens, step)
        if refusal is None:
            seen[layer] = truth.update(layer, tokens, step)
        elif layer == updated[0]:
            return given, {"refused": type(refusal).__name__}
        else:
            raise ValueError(f"layer {layer} refuses what others took: write a step per layer")
    return given, _state(truth, seen)


def _state(truth: Truth, seen: list[list[list[QueryTruth]] | None]) -> dict[str, Any]:
    layers = range(truth.setup.layers)
    return {
        "seq_lens": [truth.seq_lens(layer) for layer in layers],
        "visible": [None if rows is None else [_shown(row) for row in rows] for rows in seen],
    }


def _shown(queries: list[QueryTruth]) -> list[list[list[int]]]:
    """What the queries of a batch row see; a batch row without tokens has no newest one."""
    return [
        [[position, token_id(token)] for position, token in query.must]
        for query in queries
        if query.position >= 0
    ]


def _ids(tokens: list[list[Token]]) -> list[list[int]]:
    return [[token_id(token) for token in row] for row in tokens]


def filled_file(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file with `given` and `expect` of every step computed anew."""
    groups = []
    for group in data["groups"]:
        setup = Setup.from_json(group["config"])
        tests = [{**test, "steps": _filled(setup, test)} for test in group["tests"]]
        groups.append({**group, "config": setup.to_json(), "tests": tests})
    return {**data, "groups": groups}


def _filled(setup: Setup, test: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = ("given", "expect")
    steps = [{k: v for k, v in step.items() if k not in known} for step in test["steps"]]
    trace = Trace(setup, tuple(map(step_from_json, steps)))
    filled = []
    for step, (given, expect) in zip(trace.steps, outcomes(trace), strict=True):
        tokens = {} if given is None else {"given": given}
        filled.append({**step_to_json(step), **tokens, "expect": expect})
    return filled


def file_text(data: Any) -> str:
    """A file's text: what fits on a line stands on one; short entries share one, if not lists."""
    return _text(data, 0) + "\n"


def _text(data: Any, indent: int, used: int = 0) -> str:
    """`data` as JSON, starting `used` columns to the right of `indent`."""
    line = json.dumps(data, ensure_ascii=False)
    # One column is kept for a comma.
    if indent + used + len(line) < WIDTH or not isinstance(data, (dict, list)):
        return line
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], list):
        return f"[{_text(data[0], indent, used + 1)}]"
    entries: list[tuple[str, Any]] = [("", entry) for entry in data]
    if isinstance(data, dict):
        entries = [(f"{json.dumps(name)}: ", entry) for name, entry in data.items()]
    parts = [name + _text(entry, indent + 2, len(name)) for name, entry in entries]
    share = isinstance(data, dict) or not any(isinstance(entry, list) for _, entry in entries)
    lines: list[str] = []
    for part in parts:
        fits = share and lines and "\n" not in lines[-1] + part
        if fits and indent + 4 + len(lines[-1] + part) < WIDTH:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    inside = ",".join(f"\n{' ' * (indent + 2)}{line}" for line in lines)
    brackets = "{}" if isinstance(data, dict) else "[]"
    return f"{brackets[0]}{inside}\n{' ' * indent}{brackets[1]}"
