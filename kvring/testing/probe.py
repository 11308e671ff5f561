"""Which operations a backend has: found by looking for the method and calling it once."""

from __future__ import annotations

import inspect
from typing import Any

from ..config import Append, Circular, Mode, Replace
from ..errors import KVRingError
from .observations import RAISED, BackendBrokeError, UnsupportedError
from .setup import Setup
from .steps import FORGETTING, Update
from .supports import Supports
from .trial import Factory, Trial, beside

__all__ = ["CouldNotRunError", "declared_by", "offered", "smallest_setup"]


class CouldNotRunError(Exception):
    """There is nothing to judge: the backend could not be made, or the search not be started."""


def declared_by(factory: Factory, given: Any) -> Supports:
    """The declaration given, or else that of the factory (attribute `supports`), or the default.

    Raises
    ------
    ConfigError
        If it names what does not exist.
    """
    return Supports.of(given if given is not None else getattr(factory, "supports", None))


def smallest_setup(supports: Supports) -> Setup:
    """One layer, one batch row, one head, in the first mode that the backend has."""
    of_mode: dict[str, Mode] = {
        "append": Append(8),
        "circular": Circular(supports.windows[1]),
        "replace": Replace(8),
    }
    return Setup(
        (of_mode[supports.modes[0]],),
        head_dim=supports.head_dims[0],
        value_dim=supports.head_dims[0],
        dtype=supports.dtypes[0],
        layout=supports.layouts[0],  # type: ignore[arg-type]
    )


def offered(factory: Factory, supports: Supports) -> Supports:
    """The declaration, less the operations that turn out not to be there.

    Raises
    ------
    CouldNotRunError
        If not even the smallest backend can be made.
    """
    setup = smallest_setup(supports)
    backend = _made(factory, setup, supports).backend
    if not callable(getattr(backend, "update", None)):
        raise CouldNotRunError(
            f"the factory made a {type(backend).__name__}: expected an adapter with a method"
            f" update, got none; docs/conformance.md lists the methods"
        )
    if supports.has("ragged") and not supports.ragged:
        supports = supports.lacking("ragged", "declared so")
    for operation, arguments in _CALLS.items():
        if operation in FORGETTING and not supports.evictions:
            continue  # nobody will ask for it
        if supports.has(operation):
            why = _why_not(factory, setup, supports, operation, arguments)
            if why:
                supports = supports.lacking(operation, why)
    if supports.observes != "rows":
        supports = supports.lacking("wrong_shapes", "shows no rows")
    return supports


# What each operation is called with, for a cache that has seen one token. Keywords of `update`
# are operations of their own.
_CALLS: dict[str, tuple[Any, ...]] = {
    "read": (0,),
    "truncate": (0,),
    "reset": (),
    "copy": (),
    "save": (),
    "reorder": ([0],),
    "select": ([0],),
    "repeat": (1,),
    "add_batch_rows": (),
    "resize": (),
    "pin": ([0],),
    "unpin": ([0],),
    "evict": ([0],),
    "touch": (0, [0]),
    "observe": (0, [0.5]),
    "seq_len_form": ({"seq_len": 1},),
    "ragged": ({"token_counts": [1], "padding": "right"},),
}
_METHODS = {"save": "save_and_load"}


def _why_not(
    factory: Factory,
    setup: Setup,
    supports: Supports,
    operation: str,
    arguments: tuple[Any, ...],
) -> str:
    """Why the backend lacks an operation; empty if it has it. What it does is judged later."""
    trial = _made(factory, setup, supports)
    backend = trial.backend
    options: dict[str, Any] = {}
    if operation in ("seq_len_form", "ragged"):
        (options,) = arguments
        if not _takes(backend.update, options):
            return f"update takes no {next(iter(options))}"
    elif getattr(backend, _METHODS.get(operation, operation), None) is None:
        return "no such method"
    try:
        if options:
            step = Update(1)
            given = trial.kind.given(0, trial.truth.new_tokens(step), step)
            layer = () if trial.kind.whole_model else (0,)
            backend.update(*layer, *given.arguments, **options)
        else:
            trial.take(Update(1))
            other = (_made(beside(factory), setup, supports).backend,)
            call = getattr(backend, _METHODS.get(operation, operation))
            if operation == "resize":
                number = {"capacity": setup.capacity}
                call(**({"window": setup.window} if setup.mode == "circular" else number))
            else:
                call(*(other if operation == "add_batch_rows" else arguments))
    except UnsupportedError as error:
        return str(error) or "the backend says so"
    except RAISED:  # a refusal is an answer
        return ""
    return ""


def _takes(update: Any, options: dict[str, Any]) -> bool:
    try:
        parameters = inspect.signature(update).parameters
    except (TypeError, ValueError):
        return True
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return anything or all(name in parameters for name in options)


def _made(factory: Factory, setup: Setup, supports: Supports) -> Trial:
    try:
        return Trial(factory, setup, supports)
    except BackendBrokeError as error:
        raise CouldNotRunError(f"the backend cannot be made: {error}") from error
    except UnsupportedError as error:
        raise CouldNotRunError(f"the backend says it has no {setup.mode} mode: {error}") from error
    except KVRingError as error:
        raise CouldNotRunError(f"the declaration cannot be tried: {error}") from error
    except RAISED as error:
        what = f"{type(error).__name__}: {error}"
        raise CouldNotRunError(f"the factory raised {what}") from error
