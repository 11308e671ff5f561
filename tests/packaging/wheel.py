"""The wheel itself: how large it is, and what is in it."""

from __future__ import annotations

import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_BYTES = 1_000_000

__all__ = ["check_contents", "the_wheel"]


def the_wheel() -> Path:
    """The one wheel in dist/."""
    found = list((ROOT / "dist").glob("*.whl"))
    if len(found) != 1:
        raise SystemExit(f"expected one wheel in dist/, found {len(found)}: make dist builds it")
    return found[0]


def check_contents(wheel: Path) -> str:
    """What is in the wheel, in a line.

    Raises
    ------
    SystemExit
        If it is too large, or something lacks or does not belong there.
    """
    nbytes = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = {f"kvring/{path.relative_to(ROOT / 'kvring')}" for path in _files()}
    inside = {name for name in names if ".dist-info/" not in name}
    problems = [f"{name} is missing" for name in sorted(package - inside)]
    problems += [f"{name} does not belong there" for name in sorted(inside - package)]
    if nbytes > MOST_BYTES:
        problems.append(f"{nbytes:,} bytes, expected at most {MOST_BYTES:,}")
    if not any(name.endswith("/LICENSE") for name in names):
        problems.append("the license is missing")
    if problems:
        raise SystemExit("\n".join([f"{wheel.name}:", *problems]))
    return f"{wheel.name}: {nbytes:,} bytes, {len(inside)} files"


def _files() -> list[Path]:
    every = (ROOT / "kvring").rglob("*")
    wanted = {".py", ".json", ".md", ".typed"}
    return [
        path
        for path in every
        if "__pycache__" not in path.parts and (path.suffix in wanted or path.name == "py.typed")
    ]
