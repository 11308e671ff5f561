"""Operations that a cache may refuse: carried out, and judged by the contract."""

from __future__ import annotations

from functools import partial

from ..errors import PositionError
from .finding import Finding, FoundError
from .looking import Looking
from .observations import UnsupportedError
from .steps import Resize, Truncate

__all__ = ["Changing"]


class Changing(Looking):
    """The part of a :class:`~kvring.testing.trial.Trial` that drops tokens and changes sizes."""

    def _truncate(self, step: Truncate) -> None:
        refusal = self.truth.truncate_refusal(step)
        beyond = refusal is not None and type(refusal) is PositionError
        if beyond and self.supports.too_many == "clamped" and not self.truth.layers_in_step:
            raise UnsupportedError("how far layers out of step go back when clamped is not said")
        truncate = self._method("truncate")
        given = step.seq_len if isinstance(step.seq_len, int) else list(step.seq_len)
        _, error = self._attempt(lambda: truncate(given))
        self._record(f"truncate({given})", error)
        if error is not None:
            if refusal is None and self.supports.truncate != "may_refuse":
                self._must_not_fail(error, f"truncate({given})")
            self._look("refused and changed")
            return
        tolerated = self.supports.too_many == "clamped" if beyond else self.supports.truncate
        if refusal is not None and tolerated in (False, "contract"):
            message = f"truncate({given}) was accepted, which the contract refuses: {refusal}"
            raise FoundError(Finding("accepted", message))
        self.truth.truncate(self.truth.clamped(step.seq_len) if beyond else step.seq_len)
        self._look()

    def _resize(self, step: Resize) -> None:
        refusal = self.truth.resize_refusal(step)
        resize = self._method("resize")
        _, error = self._attempt(partial(resize, **step.numbers))
        said = ", ".join(f"{name}={number}" for name, number in step.numbers.items())
        self._record(f"resize({said})", error)
        if refusal is not None:
            if error is None:
                message = f"resize({said}) was accepted, which the contract refuses: {refusal}"
                raise FoundError(Finding("accepted", message))
            self._look("refused and changed")
            return
        self._must_not_fail(error, f"resize({said})")
        self.truth.resize(step)
        self._look("resize")
