"""What all kinds of observation share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..finding import Finding, FoundError
from ..names import Token
from ..observations import RAISED
from ..setup import Setup
from ..steps import Update
from ..supports import Supports
from ..truth import QueryTruth, Truth

__all__ = ["Given", "Kind", "as_array"]

Array = NDArray[Any]


class Given:
    """The arguments of one update, kept so that a change to them is noticed.

    Parameters
    ----------
    arrays : list of array
        Positional arguments after the layer.
    plain : list
        Those that are no arrays.
    """

    def __init__(self, arrays: list[Array], plain: list[Any] | None = None) -> None:
        self.arrays = arrays
        self.plain = plain or []
        self._kept = [array.tobytes() for array in arrays]

    @property
    def arguments(self) -> list[Any]:
        """What `update` is called with, after the layer."""
        return [*self.arrays, *self.plain]

    def check_unchanged(self, layer: int | None) -> None:
        """A finding if the backend wrote into what it was given."""
        for array, kept in zip(self.arrays, self._kept, strict=True):
            if array.tobytes() != kept:
                raise FoundError(
                    Finding("inputs", "the cache wrote into arrays that an update was given", layer)
                )


class Kind(ABC):
    """Makes the arguments of an update and judges what came back.

    Parameters
    ----------
    setup : Setup
        What the backend was built for.
    supports : Supports
        What it declares.
    """

    # Whether one update covers all layers of a model (logits) instead of one.
    whole_model = False
    # How many different tokens a trace may have; None for as many as there are names.
    most_tokens: int | None = None

    def __init__(self, setup: Setup, supports: Supports) -> None:
        self.setup = setup
        self.supports = supports

    @abstractmethod
    def given(self, layer: int, tokens: list[list[Token]], step: Update) -> Given:
        """The arguments of an update with these tokens, one list per batch row."""

    @abstractmethod
    def judge(
        self, layer: int, seen: Any, truths: list[list[QueryTruth]], truth: Truth, given: Given
    ) -> None:
        """FoundError if a query saw what it should not, or missed what it should see."""

    def judge_model(
        self, seen: Any, truths: list[list[QueryTruth]], truth: Truth, uncached: Any
    ) -> None:
        """The same for an update of all layers at once, where `whole_model` is true."""
        raise NotImplementedError

    def copy(self) -> Kind:
        """For a copy of the backend."""
        return self

    def rows_returned(self, seen: Any) -> int | None:
        """How many rows an observation hands back, if that can be told (for promises)."""
        return None


def as_array(what: str, value: Any, layer: int | None, axes: int) -> Array:
    """`value` as an array of so many axes, or a finding."""
    try:
        array = np.asarray(value)
    except RAISED as error:  # whatever a foreign array type throws
        message = f"{what}: not an array: {error}"
        raise FoundError(Finding("shape", message, layer)) from None
    if array.ndim != axes or array.dtype == object:
        message = f"{what}: expected {axes} axes of numbers, got shape {array.shape} {array.dtype}"
        raise FoundError(Finding("shape", message, layer))
    return array
