"""Which relations between histories a finding breaks.

To a model some histories are the same: tokens in one chunk or one by one, a rollback or never
having come. Where a history fails and one that should be the same passes, the difference between
the two is what the maintainer should look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .finding import Finding
from .observations import RAISED, UnsupportedError
from .steps import Copy, Reset, Save, Step, Trace, Truncate, Update

__all__ = ["broken_relations"]

Judge = Callable[[Trace], Finding | None]


def broken_relations(trace: Trace, judge: Judge) -> tuple[str, ...]:
    """Names of the relations for which the related history of a failing trace is judged clean."""
    broken = []
    for name, related in _related(trace):
        try:
            clean = judge(related) is None
        except UnsupportedError:
            continue
        except RAISED:  # a factory that raises is another finding, not this one
            continue
        if clean:
            broken.append(name)
    return tuple(broken)


def _related(trace: Trace) -> Iterator[tuple[str, Trace]]:
    """Histories that ought to look the same in the end."""
    steps = trace.steps
    for name, other in (
        ("split invariance", _one_by_one(steps)),
        ("rollback", _never_appended(steps)),
        ("reset", _since_reset(steps)),
        ("save and load", [step for step in steps if not isinstance(step, Save)]),
        ("disturbed", [step for step in steps if not isinstance(step, Copy)]),
    ):
        if other is not None and other != list(steps):
            yield name, trace.with_steps(other)
    if trace.setup.layers > 1 and all(getattr(step, "layer", None) is None for step in steps):
        one_layer = replace(trace.setup, strategies=trace.setup.strategies[:1])
        yield "layers agree", Trace(one_layer, steps)


def _one_by_one(steps: tuple[Step, ...]) -> list[Step]:
    """Every chunk cut into single tokens."""
    cut: list[Step] = []
    for step in steps:
        plain = isinstance(step, Update) and step.token_counts is None and step.seq_len is None
        if isinstance(step, Update) and plain and not step.spoiled and step.tokens > 1:
            cut += [replace(step, tokens=1)] * step.tokens
        else:
            cut.append(step)
    return cut


def _never_appended(steps: tuple[Step, ...]) -> list[Step] | None:
    """Without truncates, and without what they dropped; None where that cannot be said."""
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Truncate):
            if not isinstance(step.seq_len, int) or not _countable(kept):
                return None
            kept = _cut_to(kept, step.seq_len)
        else:
            kept.append(step)
    return kept


def _countable(steps: list[Step]) -> bool:
    return all(
        isinstance(step, Update)
        and step.layer is None
        and step.token_counts is None
        and step.seq_len is None
        for step in steps
    )


def _cut_to(steps: list[Step], seq_len: int) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        assert isinstance(step, Update)
        tokens = min(step.tokens, max(seq_len, 0))
        seq_len -= tokens
        if tokens:
            kept.append(replace(step, tokens=tokens))
    return kept


def _since_reset(steps: tuple[Step, ...]) -> list[Step] | None:
    """What comes after the last reset."""
    for place in range(len(steps) - 1, -1, -1):
        if isinstance(steps[place], Reset):
            return list(steps[place + 1 :])
    return None
