"""The command line: options, their limits, and errors in one line."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

PROMPT = "Once upon a time, in a small village by the sea,"
CHAT_PROMPT = "Why is the sky blue?"

# Small enough that the ring wraps during the default run, so that its effect can be seen.
WINDOW = 32
WINDOW_WITH_CONTEXT = 256

EXAMPLES = """\
examples:
  python docs/examples/smollm2
  python docs/examples/smollm2 --prompt "The sea was calm that day, and" --tokens 100
  python docs/examples/smollm2 --chat --prompt "What is a ring buffer?" --window 256
  python docs/examples/smollm2 --context 4000 --window 1024 --sinks 4
  python docs/examples/smollm2 --check --tokens 8
"""


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    tokens: int
    prompt: str
    chat: bool
    context: int | None
    window: int
    sink_tokens: int
    check: bool


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors take one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print the error and end the program with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}; see --help\n")


def parse_options(arguments: list[str]) -> Options:
    """Return the options, or end the program with one line that says what is wrong."""
    parser = _make_parser()
    given = parser.parse_args(arguments)
    if given.context is not None and (given.chat or given.prompt is not None):
        parser.error("--context brings its own text; leave out --prompt and --chat")
    if given.prompt == "":
        parser.error("argument --prompt: expected some text, got none")
    default_prompt = CHAT_PROMPT if given.chat else PROMPT
    default_window = WINDOW if given.context is None else WINDOW_WITH_CONTEXT
    return Options(
        tokens=given.tokens,
        prompt=default_prompt if given.prompt is None else given.prompt,
        chat=given.chat,
        context=given.context,
        window=default_window if given.window is None else given.window,
        sink_tokens=given.sink_tokens,
        check=given.check,
    )


def _make_parser() -> OneLineParser:
    parser = OneLineParser(
        prog="smollm2",
        description="A small language model writes text on the CPU, once with each of three\n"
        "caches, and a table compares them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    one_up, zero_up = _whole_number(1), _whole_number(0)
    add("--tokens", type=one_up, default=80, metavar="N", help="tokens to generate (default: 80)")
    add("--prompt", metavar="TEXT", help="the text to go on from")
    add("--chat", action="store_true", help="take the prompt as a question and answer it")
    add(
        "--context",
        type=one_up,
        metavar="N",
        help="go on from N tokens of Python's own documentation instead of a prompt",
    )
    add(
        "--window",
        type=one_up,
        metavar="W",
        help="most recent tokens the circular cache keeps "
        f"(default: {WINDOW}, or {WINDOW_WITH_CONTEXT} with --context)",
    )
    add(
        "--sinks",
        dest="sink_tokens",
        type=zero_up,
        default=4,
        metavar="S",
        help="first tokens the circular cache keeps for ever (default: 4)",
    )
    add(
        "--check",
        action="store_true",
        help="first prove every cache against recomputing the full history; ends with exit code 1 "
        "and the place of the first difference if there is one",
    )


def _whole_number(smallest: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = smallest - 1
        if number < smallest:
            expected = f"expected a whole number, {smallest} or more"
            raise argparse.ArgumentTypeError(f"{expected}, got {text!r}")
        return number

    return convert
