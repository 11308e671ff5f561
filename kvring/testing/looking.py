"""Looking at a backend: its counters, its promises, and what its newest tokens see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..text import printable
from .finding import Finding, FoundError
from .kinds import Kind
from .kinds.kind import Given
from .observations import RAISED, BackendBrokeError, UnsupportedError
from .setup import Setup
from .steps import Forget, Observe, Touch, Update
from .supports import Supports
from .truth import QueryTruth, Truth

__all__ = ["Looking"]


class Looking:
    """What a trial can look at; every check raises a FoundError if something is not right.

    Parameters
    ----------
    backend : object
        The adapter under judgement.
    setup, supports : Setup, Supports
        What it was built for, and what it declares.
    truth : Truth
        What it should show.
    kind : Kind
        How it shows it.
    """

    def __init__(
        self, backend: Any, setup: Setup, supports: Supports, truth: Truth, kind: Kind
    ) -> None:
        self.backend = backend
        self.setup = setup
        self.supports = supports
        self.truth = truth
        self.kind = kind
        self.operations = 0
        self.compared = 0  # queries judged; a verdict needs at least one
        self.notes: list[str] = []  # one per step, for reports
        self._given: list[Given] = []  # what earlier updates got, which is still the caller's
        # Every call as a line of Python, when the trial is recorded for a report.
        self.script: list[str] | None = None
        self.name = "backend"

    def _look(self, invariant: str = "") -> None:
        """Counters, and what the newest tokens see, where the backend shows that."""
        if invariant == "refused and changed":
            self._note_refused()
        try:
            self._check_counters()
            read = getattr(self.backend, "read", None)
            if read is None or not self.supports.has("read") or self.kind.whole_model:
                return
            for layer in range(self.setup.layers):
                if not any(self.truth.seq_lens(layer)):
                    continue
                self.operations += 1
                try:
                    seen, error = self._attempt(partial(read, layer))
                except UnsupportedError:
                    return
                self._record(f"read({layer})", error, shows=True)
                self._must_not_fail(error, "read", layer)
                self._judge(layer, seen, self.truth.read(layer), Given([]))
        except FoundError as found:
            if not invariant:
                raise
            raise FoundError(replace(found.finding, invariant=invariant)) from None

    def _note_refused(self) -> None:
        """Say in the list of steps that the newest one came to nothing."""
        if self.notes:
            self.notes[-1] += ", which is refused"

    def _check_counters(self) -> None:
        for name, expected_of in (("seq_len", self._seq_lens), ("next_position", self._next)):
            ask = getattr(self.backend, name, None)
            if ask is None:
                continue
            for layer in range(self.setup.layers):
                try:
                    answer, error = self._attempt(partial(ask, layer))
                except UnsupportedError:
                    break
                self._must_not_fail(error, name, layer)
                expected = expected_of(layer)
                got = _spread(answer, self.truth.batch)
                if got != expected:
                    self._record(f"{name}({layer})", None, prints=True)
                    message = f"{name}: expected {_joined(expected)}, got {_joined(got)}"
                    raise FoundError(Finding("counters", message, layer))

    def _seq_lens(self, layer: int) -> list[int]:
        return self.truth.seq_lens(layer)

    def _next(self, layer: int) -> list[int]:
        """The position of each batch row's next token, as the backend counts positions."""
        lens = self.truth.seq_lens(layer)
        if self.supports.positions == "absolute":
            return lens
        rows = [self.truth.ideal.sequence(layer, batch_row) for batch_row in range(len(lens))]
        return [
            sum(row.sees(seq_len, position) for position in range(seq_len))
            for row, seq_len in zip(rows, lens, strict=True)
        ]

    def _captured(self, layer: int) -> tuple[Any, list[int]]:
        """What `next_position` returned, and what it says now."""
        ask = getattr(self.backend, "next_position", None)
        try:
            answer, _ = (None, None) if ask is None else self._attempt(partial(ask, layer))
        except UnsupportedError:
            return None, []
        return answer, [] if answer is None else _spread(answer, self.truth.batch)

    def _check_captured(self, layer: int, captured: Any, before: list[int]) -> None:
        if captured is not None and _spread(captured, len(before)) != before:
            after = _joined(_spread(captured, len(before)))
            message = f"a position captured before the update was {_joined(before)} and is {after}"
            raise FoundError(Finding("captured position", message, layer))

    def _promise(self, layer: int, step: Update) -> Any:
        promise = getattr(self.backend, "promise", None)
        if promise is None or step.spoiled or step.seq_len is not None:
            return None
        try:
            answer, error = self._attempt(lambda: dict(promise(layer, step.tokens)))
        except UnsupportedError:
            return None
        self._must_not_fail(error, "promise", layer)
        return answer

    def _check_promise(self, layer: int, promised: Any, seen: Any, before: list[int]) -> None:
        """The rows promised came, and the first new token got the position that was promised."""
        if promised and promised.get("next_position") is not None:
            got = _spread(promised["next_position"], len(before))
            if got != before:
                message = f"position {_joined(got)} was promised, {_joined(before)} is next"
                raise FoundError(Finding("promise", message, layer))
        if promised and promised.get("rows") is not None:
            rows = self.kind.rows_returned(seen)
            if rows is not None and rows != int(promised["rows"]):
                message = f"{promised['rows']} rows were promised, {rows} returned"
                raise FoundError(Finding("promise", message, layer))

    def _check_inputs(self, layer: int | None, *given: Given) -> None:
        """Nothing that any update was given has changed: a cache may keep arrays, not use them."""
        self._given += given
        for arguments in self._given:
            arguments.check_unchanged(layer)

    # Calling

    def _method(self, name: str) -> Any:
        method = getattr(self.backend, name, None)
        if method is None or not self.supports.has(_OPERATION_OF.get(name, name)):
            raise UnsupportedError(name)
        self.operations += 1
        return method

    def _do(self, name: str, *arguments: Any) -> Any:
        """Call what must not be refused."""
        method = self._method(name)
        result, error = self._attempt(partial(method, *arguments))
        if not any(isinstance(argument, type(self.backend)) for argument in arguments):
            self._record(f"{name}({', '.join(map(repr, arguments))})", error)
        self._must_not_fail(error, name)
        return result

    def _forget(self, step: Forget) -> None:
        """Pins, touches, weights and rows dropped by hand; what comes of them shows later."""
        refusal = self.truth.forget_refusal(step)
        method = self._method(step.op)
        arguments: list[Any] = []
        if isinstance(step, Observe):
            rows = max(len(queries[0].must) for queries in self.truth.read(step.layer))
            arguments = [step.layer, step.weights(rows)]
        elif isinstance(step, Touch):
            arguments = [step.layer, list(step.positions)]
        else:
            arguments = [list(step.positions)]
        _, error = self._attempt(partial(method, *arguments))
        self._record(f"{step.op}({', '.join(map(repr, arguments))})", error)
        if refusal is not None:
            if error is None:
                message = f"{step.op} was accepted, which the contract refuses: {refusal}"
                raise FoundError(Finding("accepted", message))
            self._look("refused and changed")
            return
        self._must_not_fail(error, step.op)
        self.truth.forget(step)
        self._look()

    def _judge(self, layer: int, seen: Any, truths: list[list[QueryTruth]], given: Given) -> None:
        """What came back may be anything; that it cannot be read is a finding, not a crash."""
        try:
            self.kind.judge(layer, seen, truths, self.truth, given)
            self.compared += sum(map(len, truths))
        except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
            message = f"what came back cannot be read: {type(error).__name__}: {error}"
            raise FoundError(Finding("shape", message, layer)) from error

    def _record(
        self,
        code: str,
        error: BaseException | None,
        *,
        shows: bool = False,
        prints: bool = False,
        result: str = "",
    ) -> None:
        """Write a call down as Python, if this trial is recorded."""
        if self.script is None:
            return
        line = f"{self.name}.{code}"
        if result:
            line = f"{result} = {line}"
        elif shows or prints:
            line = f"{'show' if shows and error is None else 'print'}({line})"
        if error is not None:
            what = printable(" ".join(f"{type(error).__name__}: {error}".split())[:80])
            widest = "Exception" if isinstance(error, Exception) else "BaseException"
            self.script += [f"with suppress({widest}):  # {what}", f"    {self.name}.{code}"]
        else:
            self.script.append(line)

    def _attempt(self, call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        try:
            return call(), None
        except (BackendBrokeError, UnsupportedError):
            raise
        except RAISED as error:  # a refusal, whatever its class
            return None, error

    def _must_not_fail(
        self, error: BaseException | None, what: str, layer: int | None = None
    ) -> None:
        if error is not None:
            text = " ".join(str(error).split())[:200]
            message = f"{what} raised {type(error).__name__}: {text}"
            raise FoundError(Finding("refused", message, layer))


_OPERATION_OF = {"save_and_load": "save"}


def _spread(answer: Any, batch: int) -> list[int]:
    """A counter as one int per batch row, whatever array or number it came as."""
    try:
        found = [int(number) for number in np.asarray(answer).ravel().tolist()]
        return found * batch if len(found) == 1 else found
    except (TypeError, ValueError, OverflowError):
        message = f"a counter is no integer: {answer!r}"
        raise FoundError(Finding("counters", message)) from None


def _joined(numbers: list[int]) -> str:
    if len(set(numbers)) == 1:
        return str(numbers[0])
    return ", ".join(map(str, numbers)) + " (per batch row)"
