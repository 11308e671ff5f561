"""argparse, with the habit of saying what would be right."""

from __future__ import annotations

import argparse
import math
import re
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from ..text import near

__all__ = ["Parser", "number"]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Breaks long lines, and leaves alone what has lines of its own: examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints name what was probably meant.

    Notes
    -----
    argparse words its complaints anew now and then; where they are not understood any more, they
    are shown as they are.
    """

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Formatter)
        super().__init__(**options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but unknown options get the complaint of the command they stand behind."""
        found, left = self.parse_known_args(args, namespace)
        if left:
            parser = getattr(found, "parser", self)
            known = [option for option in parser._option_string_actions if option[:2] == "--"]
            word = left[0].partition("=")[0]
            hint = near(word, known) if word.startswith("-") else "; there is no room for it"
            parser.error(f"unknown argument {left[0]!r}{hint}")
        return found

    def error(self, message: str) -> NoReturn:
        """The usage, the complaint and where to look, on stderr; exit code 2."""
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {self._with_hint(message)}\n{self._way_out()}\n")

    def _with_hint(self, message: str) -> str:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if not wrong:
            return message
        choices = [choice.strip("'\"") for choice in wrong.group(2).split(", ")]
        return f"there is no {wrong.group(1)!r}{near(wrong.group(1), choices)}"

    def _way_out(self) -> str:
        return f"{self.prog} --help shows what there is, with examples"


def number(least: float, kind: Callable[[str], float] = int) -> Callable[[str], Any]:
    """A type for argparse: a number that is not too small."""

    def checked(text: str) -> float:
        try:
            found = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
        if isinstance(found, float) and not math.isfinite(found):
            raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
        if found < least:
            raise argparse.ArgumentTypeError(f"expected {least} or more, got {text}")
        return found

    return checked
