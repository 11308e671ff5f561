"""What ``--help`` says of each command, in place of a comment on the command line's page."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from typing import Any

__all__ = ["setup"]

MARK = "<!-- commands: make docs shows what --help says of each here -->"


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Any, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, _all_help())
        app.env.note_reread()


def _all_help() -> str:
    from kvring.cli import COMMANDS

    return "\n".join(f"## kvring {name}\n\n```text\n{_help(name)}```\n" for name in COMMANDS)


def _help(name: str) -> str:
    from kvring.cli import main

    said = io.StringIO()
    before = dict(os.environ)
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}  # as wide as the page
    try:
        with redirect_stdout(said), suppress(SystemExit):
            main([name, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return said.getvalue()
