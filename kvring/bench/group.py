"""A case with its contestants: built, checked, and timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import operations
from .attention import attention, expected, given_rows
from .attention_rival import AttentionSetup
from .catalogue import Case
from .child import run_child
from .interleave import Contestant, Result, measure
from .rival import Setup, UnsupportedError, load
from .rivals import OURS

__all__ = ["Group", "build"]


@dataclass
class Group:
    """Who takes part in a case, and what came of it.

    Attributes
    ----------
    case : Case
    contestants : dict of str to Contestant
        Those that showed the right rows.
    skipped, failed : dict of str to str
        Why the others are not among them: what a rival cannot do, or what it did wrong.
    notes : dict of str to list of str
        What its checks found worth telling.
    result : Result, optional
        Times, once `measure` has run.
    numbers : dict of str to float
        What processes of their own measured: bytes or seconds.
    """

    case: Case
    contestants: dict[str, Contestant] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    result: Result | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    _opened: list[Any] = field(default_factory=list)

    def measure(self, seconds: float, rounds: int = 40) -> None:
        """Time all contestants in turns for about so long."""
        if not self.result and self.contestants and not self.in_processes:
            self.result = measure(self.contestants, rounds, within=seconds)

    @property
    def in_processes(self) -> bool:
        """Whether a contestant is a process, whose number counts and not its time."""
        return self.case.operation in ("memory", "first use")

    def value(self, name: str) -> float | None:
        """Median seconds, or the number that the contestant's process printed."""
        if self.result is not None and name in self.result.seconds:
            return self.result.typical(name)
        return self.numbers.get(name)

    def ratio(self, name: str) -> float | None:
        """How many times kvring's, from rounds in turns."""
        if self.result is not None and {name, OURS} <= set(self.result.seconds):
            return self.result.ratio(name, to=OURS)
        ours, theirs = self.numbers.get(OURS), self.numbers.get(name)
        return theirs / ours if ours and theirs is not None else None

    def close(self) -> None:
        """Let go of all rivals and what they hold."""
        self.contestants.clear()
        while self._opened:
            getattr(self._opened.pop(), "close", lambda: None)()


def build(case: Case, rivals: Mapping[str, str]) -> Group:
    """Build all contestants of a case and check what they show.

    Parameters
    ----------
    case : Case
    rivals : mapping of str to str
        Name of each rival, and its factory as ``package.module:factory``.
    """
    group = Group(case)
    try:
        makers = _makers(group, rivals)
    except UnsupportedError as reason:
        group.skipped = dict.fromkeys(rivals, str(reason))
        return group
    for name, make in makers.items():
        group.notes[name] = []
        try:
            group.contestants[name] = make()
        except UnsupportedError as reason:
            group.skipped[name] = str(reason)
        except Exception as error:  # whatever a stranger's cache raises concerns itself alone
            group.failed[name] = f"{type(error).__name__}: {error}"
    return group


def _makers(group: Group, rivals: Mapping[str, str]) -> dict[str, Callable[[], Contestant]]:
    setup = group.case.setup
    if isinstance(setup, AttentionSetup):
        given = given_rows(setup)
        wanted = expected(setup, *given)
        shared = (setup, given, wanted, group._opened)
        return {name: partial(_attention, factory, shared) for name, factory in rivals.items()}
    if group.in_processes:
        return {name: partial(_process, group, name, factory) for name, factory in rivals.items()}
    return {
        name: partial(_operation, group, name, factory, setup) for name, factory in rivals.items()
    }


def _attention(factory: str, shared: tuple[Any, ...]) -> Contestant:
    return attention(load(factory), *shared)


def _operation(group: Group, name: str, factory: str, setup: Setup) -> Contestant:
    made, case = load(factory), group.case
    if case.operation == "chunk":
        return operations.chunk(made, setup, case.tokens, group.notes[name])
    run = {
        "update": operations.update,
        "prefill": operations.prefill,
        "read": operations.read,
        "truncate": operations.truncate,
    }[case.operation]
    return run(made, setup, case.tokens)


def _process(group: Group, name: str, factory: str) -> Contestant:
    """One run now, which also finds out whether the rival can; the contestant repeats it."""
    case = group.case
    assert isinstance(case.setup, Setup)
    setup = replace(case.setup)

    def run() -> None:
        group.numbers[name] = run_child(case.operation, factory, setup)

    run()
    return Contestant(run)
