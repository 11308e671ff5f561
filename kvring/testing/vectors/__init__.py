"""The portable vectors: traces with what must follow, as JSON that needs no Python to read.

``README.md`` in this folder says what the files mean. Here they are loaded, and run on a backend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..finding import Finding
from ..observations import RAISED, BackendBrokeError, UnsupportedError
from ..setup import Setup
from ..steps import Trace, step_from_json
from ..supports import Supports
from ..trial import Factory, Trial
from .fitting import fitted, why_not

__all__ = [
    "FOLDER",
    "TOPICS",
    "Flag",
    "Vector",
    "VectorFile",
    "VectorResult",
    "fitted",
    "load",
    "run",
    "vectors",
    "why_not",
]

FOLDER = Path(__file__).parent

# One file each. The n-th topic has the ids from 1000 n to 1000 n + 999.
TOPICS = (
    "append",
    "circular",
    "sinks",
    "chunks",
    "rollback",
    "replace",
    "oversize",
    "axes",
    "ragged",
    "surgery",
    "layers",
    "errors",
    "seq_len_form",
    "eviction",
    "resize",
)


@dataclass(frozen=True)
class Flag:
    """A mistake that vectors hunt.

    Parameters
    ----------
    note : str
        Which mistake it is.
    report : str
        Address of a public report of it, where one is known.
    """

    note: str
    report: str = ""


@dataclass(frozen=True)
class Vector:
    """One test: a trace, and what must follow from each of its steps.

    Parameters
    ----------
    id : int
        Never used again for another test.
    topic, comment : str
        Its file, and what it does.
    flags : tuple of str
        The mistakes that it hunts.
    trace : Trace
        Setup and steps.
    given, expect : tuple
        One entry per step, as they stand in the file: the ids of new tokens (None where a step has
        none), and what follows.
    """

    id: int
    topic: str
    comment: str
    flags: tuple[str, ...]
    trace: Trace
    given: tuple[Any, ...] = field(default=(), repr=False)
    expect: tuple[Any, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class VectorFile:
    """One file.

    Parameters
    ----------
    contract : int
        The number of the contract that the expectations state.
    topic, comment : str
        One of `TOPICS`, and what it is about.
    flags : mapping of str to Flag
        Every flag that tests of this file have.
    vectors : tuple of Vector
        The tests of all groups.
    """

    contract: int
    topic: str
    comment: str
    flags: Mapping[str, Flag]
    vectors: tuple[Vector, ...]


@dataclass(frozen=True)
class VectorResult:
    """What came of one vector: a finding, a reason to skip it, or neither.

    Parameters
    ----------
    vector : Vector
        As it was run, with dtype, layout and widths that the backend takes.
    finding : Finding or None
        What is wrong.
    skipped : str
        Why it was not, or not fully, run; empty if it was.
    compared : int
        Queries that were compared.
    """

    vector: Vector
    finding: Finding | None = None
    skipped: str = ""
    compared: int = 0


def load() -> list[VectorFile]:
    """All files, in the order of `TOPICS`."""
    return [_load(topic) for topic in TOPICS]


def vectors(topic: str | None = None) -> list[Vector]:
    """All vectors, or those of one topic.

    Examples
    --------
    >>> vectors("circular")[0].trace.setup.mode
    'circular'
    """
    topics = TOPICS if topic is None else (topic,)
    return [vector for name in topics for vector in _load(name).vectors]


@lru_cache(maxsize=len(TOPICS))
def _load(topic: str) -> VectorFile:
    if topic not in TOPICS:
        raise ValueError(f"topic: expected one of {', '.join(TOPICS)}, got {topic!r}")
    data = json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8"))
    flags = {name: Flag(**flag) for name, flag in data["flags"].items()}
    found = [
        _vector(topic, Setup.from_json(group["config"]), test)
        for group in data["groups"]
        for test in group["tests"]
    ]
    return VectorFile(data["contract"], data["topic"], data["comment"], flags, tuple(found))


def _vector(topic: str, setup: Setup, test: Mapping[str, Any]) -> Vector:
    steps = [dict(step) for step in test["steps"]]
    given = tuple(step.pop("given", None) for step in steps)
    expect = tuple(step.pop("expect", None) for step in steps)
    trace = Trace(setup, tuple(map(step_from_json, steps)))
    return Vector(test["id"], topic, test["comment"], tuple(test["flags"]), trace, given, expect)


def run(factory: Factory, supports: Supports, topic: str | None = None) -> list[VectorResult]:
    """Judge a backend by all vectors, or by those of one topic.

    Parameters
    ----------
    factory : callable
        Makes a backend of a `Setup`.
    supports : Supports
        What it declares, less what it turned out to lack (`kvring.testing.probe.offered`).
    topic : str, optional
        One of `TOPICS`.
    """
    return [_run(factory, supports, vector) for vector in vectors(topic)]


def _run(factory: Factory, supports: Supports, vector: Vector) -> VectorResult:
    vector = replace(vector, trace=fitted(vector.trace, supports))
    reason = why_not(vector, supports)
    if reason:
        return VectorResult(vector, skipped=reason)
    try:
        trial = Trial(factory, vector.trace.setup, supports)
    except UnsupportedError as error:
        return VectorResult(vector, skipped=f"the backend says: {error}")
    except BackendBrokeError as broke:
        return VectorResult(vector, Finding(broke.invariant, str(broke)))
    except RAISED as error:  # whatever a foreign factory throws
        what = f"{type(error).__name__}: {error}"
        return VectorResult(vector, Finding("refused", f"the factory raised {what}"))
    found = (trial.take(step) for step in vector.trace.steps)
    finding = next((finding for finding in found if finding is not None), None) or trial.finish()
    if finding is None and trial.skipped:
        why = f"the backend has no {', '.join(trial.skipped)}"
        return VectorResult(vector, skipped=why, compared=trial.compared)
    return VectorResult(vector, finding, compared=trial.compared)
