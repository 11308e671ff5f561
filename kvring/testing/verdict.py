"""The verdict on a backend: vectors and search together, as text, JSON or JUnit."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as Xml

from ..text import counted, printable
from .divergence import Divergence, divergence_of, replay
from .probe import declared_by, offered
from .program import CONTRACT
from .report import report_json, report_text
from .search import Outcome, Progress, check_judged, search
from .shorten import shortened
from .trial import Factory

__all__ = ["Verdict", "judge", "verdict_json", "verdict_junit", "verdict_text"]


@dataclass
class Verdict:
    """What came of judging a backend.

    Parameters
    ----------
    name : str
        What was judged.
    seed : int
        Of the search.
    outcome : Outcome
        Of the search.
    vectors : Counter
        How many vectors "passed", "failed" and were "skipped".
    failed : list of (int, str, str)
        Id, topic and finding of every vector that failed.
    skipped : Counter
        Why vectors were skipped.
    compared : int
        Queries that vectors and search compared.
    divergences : list of Divergence
        At most one from the vectors and one from the search: the shortest of each.
    """

    name: str
    seed: int
    outcome: Outcome
    vectors: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    divergences: list[Divergence] = field(default_factory=list)


def judge(
    factory: Factory,
    name: str,
    *,
    supports: Any = None,
    seed: int = 0,
    max_examples: int = 1000,
    time_limit: float | None = None,
    vectors: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Judge a backend by the vectors and by a search; parameters and errors as `search`.

    CouldNotRunError also if no query was compared. With 0 for `max_examples` there is no search,
    and Hypothesis need not be installed.
    """
    declared = offered(factory, declared_by(factory, supports))
    verdict = Verdict(name, seed, Outcome(declared))
    if vectors:
        _run_vectors(factory, verdict)
    if max_examples:
        verdict.outcome = search(
            factory,
            supports=declared,
            seed=seed,
            max_examples=max_examples,
            time_limit=time_limit,
            progress=progress,
        )
        verdict.compared += verdict.outcome.compared
        if verdict.outcome.divergence is not None:
            verdict.divergences = [verdict.outcome.divergence]
    if not verdict.divergences:
        check_judged(verdict.compared, verdict.skipped + verdict.outcome.skipped)
    return verdict


def _run_vectors(factory: Factory, verdict: Verdict) -> None:
    from .vectors import run

    supports = verdict.outcome.supports
    shortest = None
    for result in run(factory, supports):
        vector = result.vector
        verdict.compared += result.compared
        if result.skipped:
            verdict.vectors["skipped"] += 1
            verdict.skipped[result.skipped] += 1
        elif result.finding is None:
            verdict.vectors["passed"] += 1
        else:
            verdict.vectors["failed"] += 1
            verdict.failed.append((vector.id, vector.topic, result.finding.message))
            if shortest is None or len(vector.trace.steps) < len(shortest[0].steps):
                shortest = vector.trace, result.finding
    if shortest is not None:
        trace, finding = shortened(*shortest, lambda t: replay(factory, t, supports)[0])
        verdict.divergences = [divergence_of(factory, trace, finding, supports)]


def verdict_text(verdict: Verdict) -> str:
    """For the terminal, or an issue."""
    outcome = verdict.outcome
    lines = [f"kvring check, contract {CONTRACT}: {verdict.name}", ""]
    if verdict.vectors:
        counts = ", ".join(f"{number} {what}" for what, number in sorted(verdict.vectors.items()))
        lines.append(f"vectors    {counts}")
        lines += [
            f"             {number} skipped: {why}" for why, number in verdict.skipped.items()
        ]
        lines += [f"             {n} ({topic}): {text}" for n, topic, text in verdict.failed[:10]]
        if len(verdict.failed) > 10:
            lines.append(f"             and {len(verdict.failed) - 10} more that failed")
    searched = (
        f"{outcome.histories:,} histories, {outcome.operations:,} operations,"
        f" {outcome.seconds:.1f} s, seed {verdict.seed}"
    )
    lines.append(f"search     {searched if outcome.histories else 'not run'}")
    lines += [f"not tried  {name}: {why}" for name, why in sorted(outcome.supports.without.items())]
    lines += [f"skipped    {name}: {number} times" for name, number in outcome.skipped.items()]
    lines.append("")
    if not verdict.divergences:
        lines.append("clean: no query saw anything but what the contract says")
    for divergence in verdict.divergences:
        lines += ["wrong:", "", report_text(divergence)]
    return printable("\n".join(lines).rstrip() + "\n")


def verdict_json(verdict: Verdict) -> str:
    """For programs."""
    outcome = verdict.outcome
    data = {
        "contract": CONTRACT,
        "backend": verdict.name,
        "verdict": "wrong" if verdict.divergences else "clean",
        "seed": verdict.seed,
        "vectors": dict(verdict.vectors),
        "failed_vectors": [
            {"id": n, "topic": topic, "message": text} for n, topic, text in verdict.failed
        ],
        "histories": outcome.histories,
        "operations": outcome.operations,
        "seconds": round(outcome.seconds, 3),
        "not_tried": dict(outcome.supports.without),
        "skipped": dict(outcome.skipped),
        "divergences": [report_json(divergence) for divergence in verdict.divergences],
    }
    return json.dumps(data, indent=2) + "\n"


def verdict_junit(verdict: Verdict) -> str:
    """For continuous integration: one test case for the vectors, one for the search."""
    searched = verdict.outcome.divergence
    cases = [
        ("search", _told(searched.finding.message, report_text(searched)) if searched else None)
    ]
    if verdict.vectors:
        cases.insert(0, ("vectors", _vectors_told(verdict) if verdict.failed else None))
    suite = Xml.Element("testsuite", name=printable(f"kvring check {verdict.name}"))
    for name, told in cases:
        case = Xml.SubElement(suite, "testcase", classname="kvring", name=name)
        if told is not None:
            message, text = told
            Xml.SubElement(case, "failure", message=message).text = text
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(told is not None for _, told in cases)))
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _vectors_told(verdict: Verdict) -> tuple[str, str]:
    """Which vectors failed, what each of them found, and the report if there is one of them."""
    ids = ", ".join(str(number) for number, *_ in verdict.failed[:10])
    more = len(verdict.failed) - 10
    message = f"{counted(len(verdict.failed), 'vector')} failed: {ids}"
    message += f" and {more} more" if more > 0 else ""
    lines = [f"{number} ({topic}): {text}" for number, topic, text in verdict.failed]
    reports = [report_text(d) for d in verdict.divergences if d is not verdict.outcome.divergence]
    return _told(message, "\n\n".join(["\n".join(lines), *reports]))


def _told(message: str, text: str) -> tuple[str, str]:
    return printable(message), printable(text)
