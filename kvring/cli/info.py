"""``kvring info``: versions, what is compiled, and where it is kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import say, table

if TYPE_CHECKING:
    from .parser import Parser

__all__ = ["fill"]

NEEDED = ("numpy", "numba", "llvmlite")
OPTIONAL = ("rich", "hypothesis", "ml_dtypes", "torch", "transformers", "pytest-benchmark")
SETTINGS = ("NUMBA_", "OPENBLAS_", "OMP_", "MKL_", "KVRING_")
WIDTHS = (1, 2, 4, 8)

EPILOG = """\
examples:
  kvring info
  kvring info --json | jq .kernels

A kernel that is not compiled yet is compiled when it is first needed: `kvring warm-up` does it now.
NUMBA_CACHE_DIR chooses another folder.

exit codes: 0"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.description = "Versions, the machine, which kernels are compiled, and where they are."
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="the same as data, on stdout")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Find out and tell."""
    found = facts()
    if options.json:
        print(json.dumps(found))
        return 0
    cache = found["cache"]
    missing = [name for name, version in found["optional"].items() if version is None]
    installed = [f"{name} {version}" for name, version in found["optional"].items() if version]
    needed = ", ".join(f"{name} {version}" for name, version in found["needed"].items())
    lines = {
        "kvring": f"{found['kvring']} in {found['folder']}",
        "Python": f"{found['python']}, {needed}",
        "also here": ", ".join(installed) or "nothing",
        "not here": ", ".join(missing) or "nothing",
        "machine": found["machine"],
        "settings": ", ".join(f"{k}={v}" for k, v in found["settings"].items()) or "none",
        "cache": cache["folder"] or "none: kernels are compiled anew in every process",
    }
    for name, text in lines.items():
        say(f"{name:10} {text}", indent=11)
    print()
    table(("kernel", "~compiled for", "~not yet for"), _kernel_rows(found["kernels"]))
    return 0


def facts() -> dict[str, Any]:
    """All that is told, as plain data."""
    from .. import __version__, _jit, kernels
    from ..bench.machine import cores, memory_gib, processor

    folder = _jit.cache_folder(kernels.put_row)
    return {
        "kvring": __version__,
        "folder": str(Path(__file__).parents[1]),
        "python": platform.python_version(),
        "needed": {name: _version(name) for name in NEEDED},
        "optional": {name: _version(name) for name in OPTIONAL},
        "machine": f"{processor()}, {cores()} cores, {memory_gib()}, {platform.system()}",
        "settings": {k: v for k, v in sorted(os.environ.items()) if k.startswith(SETTINGS)},
        "cache": {"folder": folder and str(folder), "files": _files(folder)},
        "kernels": _kernels(),
    }


def _kernels() -> list[dict[str, Any]]:
    """Every kernel there is: what it is for, and whether it is on disk."""
    from .. import compiling

    attention = [("attend_rows", True)]
    wanted: list[tuple[str, bool, int | str]] = []
    for names, kinds in (
        (compiling.VARIANTS, WIDTHS),
        (compiling.ASSEMBLING, WIDTHS),
        (compiling.APART, WIDTHS),
        (compiling.WEIGHING, (4, 8)),
        (attention, compiling.ATTENDED),
    ):
        wanted += [(name, free, kind) for name, free in names for kind in kinds]
    return [
        {
            "name": name,
            "releases_gil": free,
            "for": kind if isinstance(kind, str) else f"{8 * kind} bits",
            "on_disk": compiling.on_disk(name, kind, releases_gil=free),
        }
        for name, free, kind in wanted
    ]


def _kernel_rows(kernels: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    rows: dict[str, tuple[list[str], list[str]]] = {}
    for kernel in kernels:
        name = kernel["name"] + (", no GIL" if kernel["releases_gil"] else "")
        rows.setdefault(name, ([], []))[not kernel["on_disk"]].append(kernel["for"])
    return [(name, _together(ready), _together(missing)) for name, (ready, missing) in rows.items()]


def _together(kinds: list[str]) -> str:
    """Widths with their unit once."""
    if kinds and all(kind.endswith(" bits") for kind in kinds):
        return f"{', '.join(kind.removesuffix(' bits') for kind in kinds)} bits"
    return ", ".join(kinds) or "-"


def _files(folder: Path | None) -> int:
    return len(list(folder.glob("*.nb[ic]"))) if folder else 0


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
