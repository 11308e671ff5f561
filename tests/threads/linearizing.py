"""Whether a history of concurrent calls can be explained by one call after the other.

The search of Wing and Gong: of the calls not yet explained, those may come first that began before
any other one had ended. Each is tried on a copy of the reference; where what it gives there is what
was seen, the search goes on with the rest. Two ways to the same set of explained calls and the same
state are one way (Lowe's memory of configurations), which is what keeps it from exploding.

For example, with an update that takes from 1 to 4, and two reads: the first from 2 to 3, which sees
the new row, the second from 5 to 6, which does not. The update must come before the first read,
which has seen it, so before the second; no order explains that, and the history is wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from kvring.reference import ReferenceCache

from .operations import UNKNOWN, Operation, Result, state_of


@dataclass(frozen=True)
class Call:
    """An operation as it was seen: by whom, from when to when, and what it gave."""

    thread: int
    operation: Operation
    began: int
    ended: int
    result: Result


class TimeLimitError(Exception):
    """The search has not come to an end."""


def explanation(
    start: ReferenceCache, history: list[Call], seconds: float = 5.0
) -> list[Call] | None:
    """An order of all calls that explains what each of them gave, or None if there is none.

    Raises
    ------
    TimeLimitError
        If there is no answer after `seconds`.
    """
    deadline = time.monotonic() + seconds
    calls = sorted(history, key=lambda call: call.began)
    tried: set[tuple[int, object]] = set()
    everything = (1 << len(calls)) - 1
    ways: list[tuple[int, ReferenceCache, list[Call]]] = [(0, start, [])]
    while ways:
        done, state, order = ways.pop()
        if done == everything:
            return order
        if time.monotonic() > deadline:
            raise TimeLimitError(f"no answer after {seconds} s")
        for number in _may_come_next(calls, done):
            after = state.copy()
            call = calls[number]
            if not _agrees(call.operation.on_reference(after), call.result):
                continue
            configuration = (done | 1 << number, state_of(after))
            if configuration not in tried:
                tried.add(configuration)
                ways.append((configuration[0], after, [*order, call]))
    return None


def _may_come_next(calls: list[Call], done: int) -> list[int]:
    """The calls that began before any other one that is left had ended."""
    left = [number for number in range(len(calls)) if not done >> number & 1]
    first_end = min(calls[number].ended for number in left)
    return [number for number in left if calls[number].began < first_end]


def _agrees(expected: Result, seen: Result) -> bool:
    """Whether the result is as it should be. One that came too late says that nothing failed."""
    if isinstance(seen, str) and seen == UNKNOWN:
        return not isinstance(expected, str)
    return bool(expected == seen)


def told(history: list[Call]) -> str:
    """A history, one call a line, in the order in which the calls began."""
    lines = [
        f"thread {call.thread}  {call.began:3} to {call.ended:3}  {call.operation}: {call.result}"
        for call in sorted(history, key=lambda call: call.began)
    ]
    return "\n".join(["no order of these calls explains what they gave:", *lines])
