"""The search: many short histories, and of one that fails the shortest there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .divergence import Divergence, divergence_of, replay
from .finding import Finding
from .observations import RAISED, BackendBrokeError, UnsupportedError
from .probe import CouldNotRunError, declared_by, offered
from .setup import Setup
from .shorten import shortened
from .steps import Copy, Read, Step, Trace, Update
from .supports import Supports
from .trial import Factory, Trial

__all__ = ["Outcome", "Progress", "check_judged", "find_divergence", "search"]

Progress = Callable[["Outcome"], None]


@dataclass
class Outcome:
    """What a search did, updated as it goes.

    Parameters
    ----------
    divergence : Divergence or None
        The finding, if there is one.
    histories, operations : int
        Traces tried, and calls made to the backend.
    compared : int
        Queries whose sight was compared with the reference's. With none there is no verdict.
    seconds : float, seconds
        Time taken.
    supports : Supports
        The declaration, with what turned out to be missing.
    skipped : Counter
        Steps that the backend said it has no operation for.
    shortest : tuple of Trace and Finding, or None
        The shortest history that failed so far, and how; what follows is to make it shorter.
    """

    supports: Supports
    divergence: Divergence | None = None
    histories: int = 0
    operations: int = 0
    compared: int = 0
    seconds: float = 0.0
    skipped: Counter[str] = field(default_factory=Counter)
    shortest: tuple[Trace, Finding] | None = None

    @property
    def shrinking(self) -> bool:
        """Whether a history has failed, which the search then makes shorter."""
        return self.shortest is not None


class _DivergedError(Exception):
    """Tells Hypothesis that a history failed."""


class _TimeUp(BaseException):
    """Ends the search."""


def find_divergence(
    factory: Factory,
    *,
    supports: Any = None,
    seed: int = 0,
    max_examples: int = 500,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> Divergence | None:
    """The shortest history found in which a backend shows a model something wrong.

    Parameters
    ----------
    factory : callable
        Makes a backend of a `Setup`; raises `UnsupportedError` for one that it cannot make.
    supports : Supports or mapping, optional
        What the backend declares; by default the attribute `supports` of `factory`.
    seed : int
        Same seed, same search.
    max_examples : int
        Histories to try.
    time_limit : float, seconds, optional
        When to stop; what was found until then is returned, perhaps not the shortest.
    progress : callable, optional
        Called with the `Outcome` so far after every history.

    Returns
    -------
    Divergence or None
        None if all histories were as they should be. ``print`` it for a report.

    Raises
    ------
    ConfigError
        If the declaration names what does not exist.
    CouldNotRunError
        If there is nothing to judge: not even the smallest backend can be made, no query was
        compared before the time was up, or Hypothesis is not installed.

    Examples
    --------
    A cache that forgets nothing is no sliding window.

    >>> import numpy as np
    >>> from kvring.testing import Rows
    >>> class Everything:
    ...     def __init__(self, setup):
    ...         self.keys = self.values = None
    ...     def update(self, layer, keys, values):
    ...         if self.keys is not None:
    ...             keys = np.concatenate([self.keys, keys], axis=1)
    ...             values = np.concatenate([self.values, values], axis=1)
    ...         self.keys, self.values = keys, values
    ...         return Rows(keys, values)
    >>> one_by_one = {"modes": ("circular",), "most_layers": 1, "most_chunk": 1,
    ...               "without": {"wrong_shapes": "nothing is checked"}}
    >>> found = find_divergence(Everything, supports=one_by_one)
    >>> found.finding.invariant, len(found.trace.steps)
    ('stale', 2)
    """
    outcome = search(
        factory,
        supports=supports,
        seed=seed,
        max_examples=max_examples,
        time_limit=time_limit,
        progress=progress,
    )
    if outcome.divergence is None:
        check_judged(outcome.compared, outcome.skipped)
    return outcome.divergence


def check_judged(compared: int, skipped: Counter[str]) -> None:
    """CouldNotRunError if no query was compared, so that silence is not taken for a verdict."""
    if compared:
        return
    most = "; ".join(f"{what}: skipped {n} times" for what, n in skipped.most_common(3))
    reason = f" ({most})" if most else ""
    raise CouldNotRunError(
        f"nothing was judged: expected at least one query to compare, got none{reason};"
        " give the search time and histories, and let update return something"
    )


def search(
    factory: Factory,
    *,
    supports: Any = None,
    seed: int = 0,
    max_examples: int = 500,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """`find_divergence`, and what was done on the way; its parameters and errors."""
    until = None if time_limit is None else monotonic() + time_limit
    declared = offered(factory, declared_by(factory, supports))
    run = _Run(factory, Outcome(declared), until, progress)
    run.explore(seed, max_examples)
    run.leave_copies_out()
    if run.outcome.shortest is not None:
        run.outcome.divergence = divergence_of(factory, *run.outcome.shortest, declared)
    run.outcome.seconds = monotonic() - run.started
    return run.outcome


class _Run:
    """One search: what it uses, and what it has come to so far."""

    def __init__(
        self, factory: Factory, outcome: Outcome, until: float | None, progress: Progress | None
    ) -> None:
        self.factory = factory
        self.outcome = outcome
        self.until = until
        self.progress = progress
        self.started = monotonic()

    def explore(self, seed: int, max_examples: int) -> None:
        """Let Hypothesis draw histories, and shrink the first that fails."""
        try:
            import hypothesis
            from hypothesis import errors, reporting
        except ImportError:
            way_out = "pip install hypothesis"
            raise CouldNotRunError(f"the search needs Hypothesis: {way_out}") from None
        from .draw import moves, setups

        supports = self.outcome.supports

        @hypothesis.seed(seed)
        @hypothesis.settings(
            database=None,
            deadline=None,
            max_examples=max_examples,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(setups(supports), moves(supports))
        def explore(setup: Setup, drawn: Any) -> None:
            self._try(setup, drawn)

        try:
            with reporting.with_reporter(lambda *_: None):
                explore()
        except (_DivergedError, _TimeUp, errors.Flaky):
            pass  # what was found is kept here, also where it does not happen every time

    def leave_copies_out(self) -> None:
        """A copy takes two tokens to tell it from its original; they alone may be the finding."""
        shortest, supports = self.outcome.shortest, self.outcome.supports
        if shortest is None or shortest[1].invariant != "disturbed":
            return
        trace = shortest[0]
        plain = [step for step in trace.steps if not isinstance(step, (Copy, Read))]
        plainer = trace.with_steps([*plain, Update(1), Update(1)])
        finding = replay(self.factory, plainer, supports)[0]
        if finding is not None:
            self.outcome.shortest = shortened(
                plainer, finding, lambda t: replay(self.factory, t, supports)[0]
            )

    def _try(self, setup: Setup, drawn: list[Any]) -> None:
        if self.until is not None and monotonic() > self.until:
            raise _TimeUp
        outcome = self.outcome
        steps, finding, trial = self._live(setup, drawn)
        if trial is not None:
            outcome.operations += trial.operations
            outcome.compared += trial.compared
            outcome.skipped.update(trial.skipped)
        outcome.histories += not outcome.shrinking
        outcome.seconds = monotonic() - self.started
        if finding is not None:
            trace = Trace(setup, tuple(steps))
            if outcome.shortest is None or _cost(trace) <= _cost(outcome.shortest[0]):
                outcome.shortest = trace, finding
        if self.progress is not None:
            self.progress(outcome)
        if finding is not None:
            raise _DivergedError

    def _live(
        self, setup: Setup, drawn: list[Any]
    ) -> tuple[list[Step], Finding | None, Trial | None]:
        """One history: the steps taken, and what was found."""
        from .draw import step_of

        try:
            trial = Trial(self.factory, setup, self.outcome.supports)
        except UnsupportedError:
            self.outcome.skipped["setup"] += 1
            return [], None, None
        except BackendBrokeError as broke:
            return [], Finding(broke.invariant, str(broke)), None
        except RAISED as error:
            what = f"{type(error).__name__}: {error}"
            return [], Finding("refused", f"the factory raised {what}"), None
        for move in drawn:
            step = step_of(move, trial.truth, trial.supports, trial.kind.most_tokens)
            finding = None if step is None else trial.take(step)
            if finding is not None:
                return trial.steps, finding, trial
        # What no later token sees (a row that only a rollback needs, say) shows now or never.
        steps = list(trial.steps)
        last = trial.take(Read()) if trial.supports.has("read") else None
        return steps if last is None else trial.steps, last or trial.finish(), trial


def _cost(trace: Trace) -> tuple[int, ...]:
    """What makes a history long: steps first, then tokens, then a large setup."""
    setup = trace.setup
    tokens = sum(step.tokens for step in trace.steps if isinstance(step, Update))
    copies = sum(isinstance(step, Copy) for step in trace.steps)
    capacity = sum(strategy.capacity for strategy in setup.strategies)
    return (len(trace.steps), copies, tokens, setup.layers * setup.batch * setup.kv_heads, capacity)
