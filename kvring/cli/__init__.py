"""The command line: one module per command, loaded when the command is named.

Exit codes of all commands: 0 done, 2 wrong arguments or could not run, 130 interrupted, 141 whoever
read the output has gone. ``check`` has 1 for findings, and 2 when interrupted: there is no verdict.

What this module imports is little, for until `entry` runs, Ctrl-C shows a traceback.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import KVRingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .parser import Parser

__all__ = ["COMMANDS", "entry", "main"]

COULD_NOT_RUN, INTERRUPTED, NOBODY_READS = 2, 130, 141

# Name, and what it does in one line. The module is called the same, with _ for -.
COMMANDS = {
    "check": "judge a KV cache, in Python or any other language, by the contract",
    "bench": "compare caches on this machine, in about two minutes",
    "trace": "draw step by step what a layer holds and what is visible",
    "inspect": "say what a saved cache holds",
    "info": "versions, kernels compiled, cache folder",
    "warm-up": "compile kernels now, not before the first token",
}

EXAMPLES = """\
examples:
  kvring trace "circular(window=4, sink_tokens=1, rollback_tokens=2)" 9 1 1 3 truncate:12
  kvring bench
  kvring inspect session.kv
  kvring check my_package.my_module:MyCache
  kvring check -- ./my_ring --quiet
  kvring warm-up float16 --attention

exit codes: 0 done, 1 findings (check), 2 wrong arguments or could not run, 130 interrupted

kvring COMMAND --help says more. Colours are for terminals only; NO_COLOR turns them off."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process, if not given.

    Raises
    ------
    SystemExit
        As argparse does: after ``--help``, and with code 2 for arguments that are wrong.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = "kvring"
    try:
        parser = _parser(given)
        if not given:
            parser.print_help()
            return 0
        options = parser.parse_args(given)
        named = options.parser.prog
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted(given)
    except Exception as error:
        from .interrupting import came_of_ctrl_c

        if came_of_ctrl_c(error):
            return _interrupted(given)
        if isinstance(error, BrokenPipeError):
            return _nobody_reads()
        if not isinstance(error, (KVRingError, OSError)):
            raise
        print(f"{named}: {_told(error)}", file=sys.stderr)
        return COULD_NOT_RUN
    return code


def entry() -> None:
    """Run a command as a process: what ``kvring`` and ``python -m kvring`` do."""
    try:
        from .interrupting import heed

        heed()
        code = main()
    except KeyboardInterrupt:  # before the command, or once more while the first was told
        code = _code_of_interrupt(sys.argv[1:])
    from .interrupting import leave

    leave(code, at_once=code in (COULD_NOT_RUN, INTERRUPTED))


def _interrupted(given: list[str]) -> int:
    code = _code_of_interrupt(given)
    print("\ninterrupted" + ": no verdict" * (code == COULD_NOT_RUN), file=sys.stderr)
    return code


def _code_of_interrupt(given: list[str]) -> int:
    return COULD_NOT_RUN if _named(given) == "check" else INTERRUPTED


def _nobody_reads() -> int:
    try:
        with open(os.devnull, "wb") as nowhere:
            # Python would complain once more when it flushes at exit.
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    except OSError:
        pass
    return NOBODY_READS


def _named(given: list[str]) -> str:
    """The command among the arguments."""
    return next((word for word in given if not word.startswith("-")), "")


def _parser(given: list[str]) -> Parser:
    """All commands by name, and the options of the one that is named."""
    from .parser import Parser

    parser = Parser(
        prog="kvring", description="A KV cache for CPUs, and its oracle.", epilog=EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"kvring {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    named = _named(given)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line)
        if name == named:
            import_module(f".{name.replace('-', '_')}", __name__).fill(command)
    return parser


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
