"""``kvring check``: judge a KV cache, in Python or any other language."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..testing.observations import RAISED, BackendBrokeError, UnsupportedError
from ..testing.probe import CouldNotRunError
from ..text import near, printable
from .parser import number
from .terminal import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from ..testing.verdict import Verdict
    from .parser import Parser

__all__ = ["fill"]

CLEAN, FINDINGS, COULD_NOT_RUN = 0, 1, 2

EPILOG = """\
examples:
  kvring check my_package.my_module:MyCache
  kvring check --seed 7 --time-limit 60 -- ./my_ring --quiet
  kvring check my_module:MyCache --json - | jq .verdict

exit codes: 0 clean, 1 findings, 2 could not run (or interrupted: no verdict)
"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Judge a KV cache: portable vectors first, then a search for the shortest"
        " history in which it shows a model something wrong. See docs/conformance.md."
    )
    parser.epilog = EPILOG
    add = parser.add_argument
    target = "package.module:factory, or -- and a program with its arguments"
    add("target", nargs="+", metavar="TARGET", help=target)
    add("--seed", type=int, default=0, help="same seed, same search (default 0)")
    histories = "histories to try (default 1000)"
    add("--max-examples", type=number(1), default=1000, metavar="N", help=histories)
    add("--time-limit", type=number(0, float), metavar="SECONDS", help="for the search as a whole")
    answer = "for one answer of a program (default 10)"
    least = number(0.001, float)
    add("--operation-limit", type=least, default=10.0, metavar="SECONDS", help=answer)
    add("--json", metavar="FILE", help="write the verdict as JSON, - for stdout")
    add("--junit", metavar="FILE", help="write the verdict as JUnit XML")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--no-vectors", action="store_true", help="search only")
    without = "vectors only, which need nothing but kvring"
    only.add_argument("--no-search", action="store_true", help=without)
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """The verdict on the terminal, and as an exit code."""
    factory = None
    try:
        factory, name = _factory(options)
        verdict = _judge(factory, name, options)
    except (CouldNotRunError, ConfigError) as error:
        print(printable(f"could not run: {error}"), file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        print("\ninterrupted: no verdict", file=sys.stderr)
        return COULD_NOT_RUN
    finally:
        close = getattr(factory, "close", None)
        if close is not None:
            close()
    return FINDINGS if verdict.divergences else CLEAN


def _judge(factory: Any, name: str, options: argparse.Namespace) -> Verdict:
    from ..testing.verdict import judge, verdict_json, verdict_junit, verdict_text

    if not options.no_search and find_spec("hypothesis") is None:
        raise CouldNotRunError(
            "the search needs Hypothesis: pip install hypothesis; or --no-search for the"
            " vectors alone"
        )
    with progress(options.max_examples, "histories") as show, _interruptible() as interrupted:

        def tell(outcome: Any) -> None:
            interrupted()
            show(outcome.histories, "shrinking" if outcome.shrinking else "searching")

        verdict = judge(
            factory,
            name,
            seed=options.seed,
            max_examples=0 if options.no_search else options.max_examples,
            time_limit=options.time_limit,
            vectors=not options.no_vectors,
            progress=tell,
        )
    if options.json != "-":
        print(verdict_text(verdict), end="")
    _write(options.json, verdict_json(verdict) if options.json else "")
    _write(options.junit, verdict_junit(verdict) if options.junit else "")
    return verdict


def _write(path: str | None, text: str) -> None:
    if path == "-":
        print(text)
    elif path:
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise CouldNotRunError(f"the verdict cannot be written: {error}") from None


def _factory(options: argparse.Namespace) -> tuple[Any, str]:
    """What makes the backends: something to import, or a program."""
    target = options.target
    if len(target) == 1 and ":" in target[0] and not os.path.exists(target[0]):
        return _imported(target[0]), target[0]
    from ..testing.external import ProgramFactory
    from ..testing.program import RefusedError

    try:
        factory = ProgramFactory(target, options.operation_limit)
    except OSError as error:
        way_out = "expected package.module:factory, or -- and a program"
        raise CouldNotRunError(f"{target[0]}: {error.strerror or error}; {way_out}") from None
    except (BackendBrokeError, UnsupportedError, RefusedError) as error:
        raise CouldNotRunError(f"{target[0]} does not say hello: {error}") from None
    return factory, " ".join(target)


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module)
    except RAISED as error:  # the module is the user's, and may raise anything
        what = f"{type(error).__name__}: {error}"
        raise CouldNotRunError(f"{module} cannot be imported: {what}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            meant = near(part, [known for known in dir(found) if not known.startswith("_")])
            hint = meant if "did you mean" in meant else ""
            raise CouldNotRunError(f"{module} has no {name!r}{hint}")
        found = getattr(found, part)
    return found


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """A check to call now and then, for a Ctrl-C whose exception was lost on its way.

    Python drops what is raised inside a callback of the garbage collector, a finalizer or a
    backend that catches everything.
    """
    pressed: list[int] = []

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, on_interrupt)
    except ValueError:  # not the main thread, which alone is interrupted
        yield check
        return
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
