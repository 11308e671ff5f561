"""Judge a cache, then judge it again without what its first finding needs, and so on.

A search ends with its first finding, behind which others may hide. What a round leaves out is read
off the steps of the finding before it, never off a list of known bugs.
"""

from dataclasses import replace

from kvring.testing.divergence import divergence_of, replay
from kvring.testing.probe import CouldNotRunError, offered
from kvring.testing.search import search
from kvring.testing.shorten import shortened
from kvring.testing.steps import Trace, Update

MOST_ROUNDS = 6


def without(trace, supports):
    """The declaration less one thing that the trace needs, and what that is; None if nothing is."""
    operations = {step.op for step in trace.steps if not isinstance(step, Update)}
    for operation in sorted(operations):
        return supports.lacking(operation, "left out after a finding"), f"no {operation}"
    if any(getattr(step, "token_counts", None) for step in trace.steps):
        return supports.lacking("ragged", "left out after a finding"), "no ragged updates"
    strategy = trace.setup.strategy
    if getattr(strategy, "window", 0) == 1 and supports.windows[1] > 1:
        return replace(supports, windows=(2, supports.windows[1])), "windows from 2"
    if getattr(strategy, "sink_tokens", 0) and supports.most_sink_tokens:
        return replace(supports, most_sink_tokens=0), "no sinks"
    if supports.most_chunk is None and any(step.tokens > 1 for step in trace.steps):
        return replace(supports, most_chunk=1), "tokens one by one"
    return None


def rounds(factory, *, max_examples, time_limit, progress=None):
    """One outcome per round, each with what was left out in it."""
    # Looked up before the clock of the first search starts: libraries import much at first use.
    supports, left_out = offered(factory, factory.supports), ()
    for _ in range(MOST_ROUNDS):
        outcome = search(
            factory,
            supports=supports,
            max_examples=max_examples,
            time_limit=time_limit,
            progress=progress,
        )
        if outcome.divergence is not None:
            outcome.divergence = shorter(factory, outcome.divergence)
        yield left_out, outcome
        if outcome.divergence is None:
            return
        narrower = without(outcome.divergence.trace, outcome.supports)
        if narrower is None:
            return
        supports, what = narrower
        left_out += (what,)


def shorter(factory, divergence):
    """The same with steps left out that a search cut short by its time has left in."""
    supports = divergence.supports
    trace, finding = shortened(
        divergence.trace, divergence.finding, lambda other: replay(factory, other, supports)[0]
    )
    if trace == divergence.trace:
        return divergence
    return divergence_of(factory, trace, finding, supports)


def key_of(trace, invariant):
    """What two findings of one cache share when they are the same: operations and invariant."""
    operations = sorted({step.op for step in trace.steps if not isinstance(step, Update)})
    return " + ".join([*operations, invariant])


def is_known(key, expected_keys):
    """Whether the key is one of those expected, or one of them with more operations in it."""
    *operations, invariant = key.split(" + ")
    for other in expected_keys:
        *others, expected_invariant = other.split(" + ")
        if invariant == expected_invariant and set(others) <= set(operations):
            return True
    return False


def still_found(factory, trace_json):
    """The finding that a recorded trace makes now; None if it makes none."""
    try:
        return replay(factory, Trace.from_json(trace_json), factory.supports)[0]
    except CouldNotRunError:
        return None
