"""Making a failing trace shorter by leaving things out, for traces that no search has drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .finding import Finding
from .observations import RAISED
from .steps import Trace, Update

__all__ = ["shortened"]

MOST_TRIES = 300


def shortened(
    trace: Trace, finding: Finding, judge: Callable[[Trace], Finding | None]
) -> tuple[Trace, Finding]:
    """The trace with every step and token left out that the failure does not need.

    `judge` says what is wrong with a trace, None if nothing is. Each round tries to leave out one
    thing after the other and starts again from the first that still fails.
    """
    tries = 0
    while True:
        for shorter in _shorter(trace):
            tries += 1
            if tries > MOST_TRIES:
                return trace, finding
            try:
                again = judge(shorter)
            except RAISED:  # a trace that cannot be taken at all proves nothing
                again = None
            if again is not None:
                trace, finding = shorter, again
                break
        else:
            return trace, finding


def _shorter(trace: Trace) -> Iterator[Trace]:
    """The trace less one step, or with one token less in one update."""
    steps = trace.steps
    for place in range(len(steps) - 1, -1, -1):
        yield trace.with_steps([*steps[:place], *steps[place + 1 :]])
    for place, step in enumerate(steps):
        if isinstance(step, Update) and step.tokens > 1 and step.token_counts is None:
            fewer = replace(step, tokens=step.tokens - 1)
            yield trace.with_steps([*steps[:place], fewer, *steps[place + 1 :]])
