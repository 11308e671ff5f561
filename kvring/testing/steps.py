"""What can be done to a cache, as plain data: the steps of a trace.

A step says *what* is asked, never what should come of it; that is for the reference to say. Rows
are not part of a step: the tokens of a trace are numbered as they come (:mod:`.names`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from ..errors import ConfigError
from .setup import Setup
from .steps_eviction import Evict, Observe, Pin, Touch, Unpin

__all__ = [
    "FORGETTING",
    "STEPS",
    "AddBatchRows",
    "Copy",
    "Evict",
    "Forget",
    "Observe",
    "Pin",
    "Read",
    "Reorder",
    "Repeat",
    "Reset",
    "Resize",
    "Save",
    "Select",
    "Step",
    "Touch",
    "Trace",
    "Truncate",
    "Unpin",
    "Update",
    "step_from_json",
    "step_to_json",
]


@dataclass(frozen=True)
class Update:
    """New tokens, into one layer or, as a model does it, into all layers one after the other.

    Parameters
    ----------
    tokens : int, tokens
        New tokens of every batch row (with `token_counts`: the length of the token axis).
    layer : int, optional
        The only layer that takes them; all layers without it.
    token_counts : tuple of int, optional
        How many of the tokens are real, per batch row (law 11).
    padding : {"right", "left"}
        On which side the tokens are that are not real.
    seq_len : int, optional
        The total to come to (law 6).
    history : bool
        With `seq_len`: whether all rows of the sequence are given, or the new ones alone.
    zero_keys : bool
        Whether the keys of these tokens are all zero, as a model may well produce them.
    spoiled : str
        What is wrong with the rows, one of `names.SPOILS`; the cache must refuse them.
    """

    op: ClassVar[str] = "update"
    tokens: int
    layer: int | None = None
    token_counts: tuple[int, ...] | None = None
    padding: Literal["right", "left"] = "right"
    seq_len: int | None = None
    history: bool = False
    zero_keys: bool = False
    spoiled: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Keywords that an adapter's `update` gets."""
        options: dict[str, Any] = {}
        if self.seq_len is not None:
            options["seq_len"] = self.seq_len
        if self.token_counts is not None:
            options.update(token_counts=list(self.token_counts), padding=self.padding)
        return options


@dataclass(frozen=True)
class Read:
    """Look at what the newest token sees."""

    op: ClassVar[str] = "read"
    layer: int | None = None


@dataclass(frozen=True)
class Truncate:
    """Drop the newest tokens; `seq_len` are left, in all batch rows or in each its own."""

    op: ClassVar[str] = "truncate"
    seq_len: int | tuple[int, ...]


@dataclass(frozen=True)
class Reset:
    """Forget everything."""

    op: ClassVar[str] = "reset"


@dataclass(frozen=True)
class Copy:
    """Make a copy and go on with it, or with the original; the other one must not be disturbed."""

    op: ClassVar[str] = "copy"
    original: bool = False


@dataclass(frozen=True)
class Save:
    """Save, load, and go on with what was loaded."""

    op: ClassVar[str] = "save"


@dataclass(frozen=True)
class Reorder:
    """New batch row i is old batch row ``batch_rows[i]``; as many as before, any of them twice."""

    op: ClassVar[str] = "reorder"
    batch_rows: tuple[int, ...]


@dataclass(frozen=True)
class Select:
    """Keep these batch rows, in this order."""

    op: ClassVar[str] = "select"
    batch_rows: tuple[int, ...]


@dataclass(frozen=True)
class Repeat:
    """Every batch row `times` times, side by side."""

    op: ClassVar[str] = "repeat"
    times: int


@dataclass(frozen=True)
class AddBatchRows:
    """Append the batch rows of another cache, which has taken `tokens` tokens in one update."""

    op: ClassVar[str] = "add_batch_rows"
    batch_rows: int
    tokens: int


@dataclass(frozen=True)
class Resize:
    """Other numbers of slots, for all layers that have the number; what is there stays.

    Parameters
    ----------
    capacity : int, tokens, optional
        Of layers in append and replace mode.
    window, rollback_tokens : int, tokens, optional
        Of circular layers.
    """

    op: ClassVar[str] = "resize"
    capacity: int | None = None
    window: int | None = None
    rollback_tokens: int | None = None

    @property
    def numbers(self) -> dict[str, int]:
        """Those that are given, as keywords."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: number for name, number in named if number is not None}


# What only caches with an eviction policy know.
Forget = Pin | Unpin | Evict | Touch | Observe
FORGETTING = ("pin", "unpin", "evict", "touch", "observe")

Step = (
    Update
    | Read
    | Truncate
    | Reset
    | Copy
    | Save
    | Reorder
    | Select
    | Repeat
    | AddBatchRows
    | Resize
    | Forget
)
STEPS: dict[str, type[Any]] = {
    kind.op: kind
    for kind in (
        Update,
        Read,
        Truncate,
        Reset,
        Copy,
        Save,
        Reorder,
        Select,
        Repeat,
        AddBatchRows,
        Resize,
        Pin,
        Unpin,
        Evict,
        Touch,
        Observe,
    )
}


@dataclass(frozen=True)
class Trace:
    """A setup and the steps taken from it: everything that is needed to see a finding again."""

    setup: Setup
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "config": self.setup.to_json(),
            "steps": [step_to_json(step) for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trace:
        """The trace that `to_json` wrote; ConfigError if it names what does not exist."""
        steps = tuple(step_from_json(step) for step in data["steps"])
        return cls(Setup.from_json(data["config"]), steps)

    def with_steps(self, steps: Iterable[Step]) -> Trace:
        """The same setup with other steps."""
        return Trace(self.setup, tuple(steps))


def step_to_json(step: Step) -> dict[str, Any]:
    """A step as JSON data; what has its default value is left out."""
    data: dict[str, Any] = {"op": step.op}
    for field in fields(step):
        value = getattr(step, field.name)
        if value != field.default:
            data[field.name] = list(value) if isinstance(value, tuple) else value
    return data


def step_from_json(data: Mapping[str, Any]) -> Step:
    """The step that `step_to_json` wrote; ConfigError if it names what does not exist."""
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    kind = STEPS.get(arguments.pop("op", ""))
    if kind is None:
        raise ConfigError(f"op: expected one of {', '.join(STEPS)}, got {data.get('op')!r}")
    try:
        step: Step = kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{data['op']}: {error}") from None
    return step
