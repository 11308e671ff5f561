"""A finding with everything that a report says about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .explain import broken_relations
from .finding import Finding
from .importing import import_lines
from .observations import RAISED
from .script import python_snippet
from .steps import Trace
from .supports import Supports
from .trial import Factory, Trial

__all__ = ["Divergence", "divergence_of", "replay"]


@dataclass(frozen=True)
class Divergence:
    """A backend shown to be wrong.

    Parameters
    ----------
    trace : Trace
        The shortest history found; its last step is where it shows.
    finding : Finding
        What is wrong there.
    relations : tuple of str
        Names of relations that fail besides: those for which a history that ought to be the same
        to a model is judged clean.
    supports : Supports
        What the backend declares.
    notes : tuple of str
        One line per step: what it did.
    resident : tuple of int, positions
        What the contract's ring holds where the finding is, for the picture.
    snippet : str
        A script that shows the same with the backend alone.
    """

    trace: Trace
    finding: Finding
    relations: tuple[str, ...] = ()
    supports: Supports = field(default_factory=Supports)
    notes: tuple[str, ...] = ()
    resident: tuple[int, ...] = ()
    snippet: str = ""

    def __str__(self) -> str:
        from .report import report_text

        return report_text(self)


def divergence_of(
    factory: Factory, trace: Trace, finding: Finding, supports: Supports
) -> Divergence:
    """Everything a report says about a failing trace, found out by taking it once more."""
    relations = broken_relations(trace, lambda other: replay(factory, other, supports)[0])
    script: list[str] = []
    try:
        again, trial = replay(factory, trace, supports, script=script)
    except RAISED:  # it does not happen every time; what was seen is reported all the same
        return Divergence(trace, finding, relations, supports)
    finding = again or finding
    sequence = trial.truth.contract.sequence(finding.layer or 0, finding.batch_row or 0)
    return Divergence(
        trace,
        finding,
        relations,
        supports,
        tuple(trial.notes),
        tuple(sequence.positions()),
        snippet_of(factory, trial, script),
    )


def snippet_of(factory: Factory, trial: Trial, script: list[str]) -> str:
    """The recorded calls as a script: in Python, or for a program the lines that it was sent."""
    of_program = getattr(trial.backend, "snippet", None)
    if of_program is not None:
        return str(of_program())
    return python_snippet(import_lines(factory), trial.setup, trial.supports.observes, script)


def replay(
    factory: Factory, trace: Trace, supports: Supports, script: list[str] | None = None
) -> tuple[Finding | None, Trial]:
    """Take the steps of a trace as they are; the finding, and the trial as it ended.

    With `script` every call is written there as a line of Python.

    Raises
    ------
    UnsupportedError
        If there is no backend for the setup.
    """
    trial = Trial(factory, trace.setup, supports)
    trial.script = script
    for step in trace.steps:
        finding = trial.take(step)
        if finding is not None:
            return finding, trial
    return trial.finish(), trial
