"""One backend, one trace: take a step, look at everything that can be seen, compare.

An operation is called and its outcome observed; nothing is asked beforehand. Any exception but
`UnsupportedError` is a refusal, and a refusal must be what the contract or the declaration says and
must have changed nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..errors import KVRingError
from .changing import Changing
from .finding import Finding, FoundError
from .kinds import kind_of
from .kinds.kind import Given
from .names import Token, spoiled
from .notes import note_of
from .observations import BackendBrokeError, UnsupportedError
from .script import arguments_code
from .setup import Setup
from .steps import (
    AddBatchRows,
    Copy,
    Forget,
    Read,
    Reorder,
    Repeat,
    Reset,
    Resize,
    Save,
    Select,
    Step,
    Truncate,
    Update,
)
from .supports import Supports
from .truth import QueryTruth, Truth

__all__ = ["Factory", "Trial", "beside"]

Factory = Callable[[Setup], Any]


def beside(factory: Factory) -> Factory:
    """What makes a second backend while the first is in use; a program has to know."""
    made: Factory = getattr(factory, "beside", factory)
    return made


class Trial(Changing):
    """A backend under judgement.

    Parameters
    ----------
    factory : callable
        Makes a backend of a `Setup`.
    setup : Setup
        What to build.
    supports : Supports
        What the backend declares.

    Raises
    ------
    UnsupportedError
        If the factory says that there is no such backend.
    """

    def __init__(self, factory: Factory, setup: Setup, supports: Supports) -> None:
        truth, kind = Truth(setup, supports), kind_of(setup, supports)
        super().__init__(factory(setup), setup, supports, truth, kind)
        self.factory = factory
        self.steps: list[Step] = []
        self.skipped = Counter[str]()
        self.over = False  # nothing more can be judged: an update was skipped halfway
        self._shelved: list[Trial] = []

    def take(self, step: Step) -> Finding | None:
        """Carry out a step and judge what can be seen; None if it is as it should be."""
        if self.over:
            return None
        self.steps.append(step)
        self.notes.append(note_of(step, self.truth))
        try:
            self._take(step)
        except FoundError as found:
            return found.finding
        except BackendBrokeError as broke:
            return Finding(broke.invariant, str(broke))
        except UnsupportedError:
            self.skipped[step.op] += 1
        return None

    def finish(self) -> Finding | None:
        """After the last step: what was given, or copied and put away, must still be as it was."""
        try:
            self._check_inputs(None)
        except FoundError as found:
            return found.finding
        for shelved in self._shelved:
            finding = shelved.take(Update(tokens=1))
            if finding is not None:
                return replace(finding, invariant="disturbed")
        return None

    def _take(self, step: Step) -> None:
        if isinstance(step, Update):
            self._update(step)
        elif isinstance(step, Read):
            self._method("read")
            self._look()
        elif isinstance(step, Truncate):
            self._truncate(step)
        elif isinstance(step, Reset):
            self._do("reset")
            self.truth.reset()
            self._look("reset")
        elif isinstance(step, Copy):
            self._copy(step)
        elif isinstance(step, Save):
            loaded, error = self._attempt(self._method("save_and_load"))
            self._record("save_and_load()", error, result=self.name)
            self._must_not_fail(error, "save_and_load")
            self.backend = loaded
            self._look("save and load")
        elif isinstance(step, Forget):
            self._forget(step)
        elif isinstance(step, Resize):
            self._resize(step)
        else:
            self._rearrange(step)

    # Update

    def _update(self, step: Update) -> None:
        self._check_possible(step)
        tokens = self.truth.new_tokens(step)
        if self.kind.whole_model:
            self._update_model(tokens, step)
        else:
            layers = range(self.setup.layers) if step.layer is None else [step.layer]
            for layer in layers:
                try:
                    refused = self._update_layer(layer, tokens, step)
                except UnsupportedError:
                    self.over = layer != layers[0]
                    raise
                if refused:
                    break
        self._check_counters()

    def _check_possible(self, step: Update) -> None:
        """UnsupportedError for what this kind of observation cannot judge."""
        if not self.truth.has_tags_for(step.tokens, self.kind.most_tokens):
            raise UnsupportedError("no names are left for so many tokens")
        if step.seq_len is not None and self.truth.batch > 1:
            raise UnsupportedError("seq_len with more than one batch row")
        if self.kind.whole_model and (step.layer is not None or step.history):
            raise UnsupportedError("a model takes new tokens, in all its layers")

    def _update_layer(self, layer: int, tokens: list[list[Token]], step: Update) -> bool:
        """One layer; whether it was rightly refused."""
        options = step.options
        rows = tokens
        if step.history:
            rows = [[token for _, token in self.truth.sequence(layer, 0)] + tokens[0]]
        given = self.kind.given(layer, rows, step)
        if step.spoiled:
            keys, values = given.arrays
            given = Given(list(spoiled(step.spoiled, keys, values, self.setup.layout)))
            refusal: KVRingError | str | None = f"arrays that do not fit: {step.spoiled}"
        else:
            refusal = self.truth.refusal(layer, tokens, step)
        promised, captured = self._promise(layer, step), self._captured(layer)
        update = self._method("update")
        before = self._next(layer)
        seen, error = self._attempt(lambda: update(layer, *given.arguments, **options))
        self._record_update(layer, rows, step, error)
        self._check_inputs(layer, given)
        if refusal is not None:
            if error is None:
                message = f"update was accepted, which the contract refuses: {refusal}"
                raise FoundError(Finding("accepted", message, layer))
            self._look("refused and changed")
            return True
        self._must_not_fail(error, "update", layer)
        truths = self.truth.update(layer, tokens, step)
        self._judge(layer, seen, truths, given)
        self._check_promise(layer, promised, seen, before)
        self._check_captured(layer, *captured)
        return False

    def _update_model(self, tokens: list[list[Token]], step: Update) -> None:
        given = self.kind.given(0, tokens, step)
        refusals = [self.truth.refusal(n, tokens, step) for n in range(self.setup.layers)]
        refusal = next((error for error in refusals if error is not None), None)
        update = self._method("update")
        seen, error = self._attempt(lambda: update(*given.arguments, **step.options))
        self._record_update(0, tokens, step, error)
        self._check_inputs(None, given)
        if refusal is not None:
            if error is None:
                message = f"update was accepted, which the contract refuses: {refusal}"
                raise FoundError(Finding("accepted", message))
            self._note_refused()
            return
        self._must_not_fail(error, "update")
        truths: list[list[QueryTruth]] = []
        for layer in range(self.setup.layers):
            truths = self.truth.update(layer, tokens, step)
        self.kind.judge_model(seen, truths, self.truth, self.backend.uncached)
        self.compared += sum(map(len, truths))

    def _record_update(
        self, layer: int, tokens: list[list[Token]], step: Update, error: BaseException | None
    ) -> None:
        if self.script is not None:
            code = arguments_code(self.supports.observes, self.setup, layer, tokens, step)
            options = "".join(f", {name}={value!r}" for name, value in step.options.items())
            self._record(f"update({code}{options})", error, shows=True)

    # Everything else

    def _copy(self, step: Copy) -> None:
        """Disturb the one that is put away at once, and look at it again in the end."""
        copied, error = self._attempt(self._method("copy"))
        name = f"copy_{len(self._shelved) + 1}"
        self._record("copy()", error, result=name)
        self._must_not_fail(error, "copy")
        other = self._aside(copied)
        other.name = name
        if step.original:
            going_on, put_away = self.backend, other.backend
        else:
            going_on, put_away = other.backend, self.backend
            self.kind, other.kind = other.kind, self.kind
            self.name, other.name = other.name, self.name
        self.backend, other.backend = going_on, put_away
        finding = other.take(Update(tokens=1))
        self.operations += other.operations
        self.compared += other.compared
        if finding is not None:
            raise FoundError(replace(finding, invariant="disturbed"))
        self.truth.share_names(other.truth)
        self._shelved.append(other)
        self._look("disturbed")

    def _aside(self, backend: Any) -> Trial:
        """A trial of another backend with the same past."""
        other = object.__new__(Trial)
        other.__dict__.update(self.__dict__)
        other.backend, other.truth, other.kind = backend, self.truth.copy(), self.kind.copy()
        other.steps, other.notes, other.skipped, other._shelved = [], [], Counter(), []
        other.operations, other.compared, other._given = 0, 0, []
        return other

    def _rearrange(self, step: Reorder | Select | Repeat | AddBatchRows) -> None:
        if isinstance(step, AddBatchRows):
            if self.truth.setup.strategies != self.setup.strategies:
                raise UnsupportedError("another cache would have the numbers from before a resize")
            self._method(step.op)
            setup = self.setup.with_batch(step.batch_rows)
            other = Trial(beside(self.factory), setup, self.supports)
            other.truth.share_names(self.truth)
            other.script, other.name = self.script, "other"
            if self.script is not None:
                others = f"SimpleNamespace(**{{**vars(setup), 'batch': {step.batch_rows}}})"
                self.script.append(f"other = make({others})")
            if step.tokens:
                finding = other.take(Update(tokens=step.tokens))
                if finding is not None:
                    raise FoundError(finding)
            self._do(step.op, other.backend)
            self._record(f"{step.op}(other)", None)
            self.truth.rearrange(step, other.truth)
            self.truth.share_names(other.truth)
        elif isinstance(step, Repeat):
            self._do(step.op, step.times)
            self.truth.rearrange(step)
        else:
            self._do(step.op, list(step.batch_rows))
            self.truth.rearrange(step)
        self._look("batch operations")
