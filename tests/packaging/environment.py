"""A fresh virtual environment with a wheel in it, and programs that run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

__all__ = ["Environment", "interpreter"]


def interpreter(version: str) -> Path | None:
    """An interpreter of a version such as "3.10": on PATH, or the newest one of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = sorted(root.glob(f"{version}.*/bin/python"), key=_release)
    on_path = shutil.which(f"python{version}")
    candidates = [*found[::-1], *([Path(on_path)] if on_path else [])]
    return next((python for python in candidates if _is_of(python, version)), None)


def _release(python: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", python.parts[-3])))


def _is_of(python: Path, version: str) -> bool:
    """Whether it starts, is what it is called, and can make environments."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


class Environment:
    """An environment of its own.

    Parameters
    ----------
    folder : Path
        Empty; the environment, an empty working folder and Numba's cache come into it.
    python : Path
        The interpreter that makes it.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        subprocess.run([python, "-m", "venv", folder / "env"], check=True)
        self.python = folder / "env" / "bin" / "python"
        self.kvring = folder / "env" / "bin" / "kvring"

    def install(self, wheel: Path, *pins: str) -> None:
        """The wheel, and what it asks for, in the releases that `pins` say."""
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--only-binary=:all:", wheel, *pins], check=True)

    def run(self, *command: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """A program in the empty folder; ``python`` and ``kvring`` are the environment's."""
        own = {"python": self.python, "kvring": self.kvring}
        first, *rest = command
        known = {"PATH", "HOME", "LANG", "LC_ALL"}
        settings = {name: value for name, value in os.environ.items() if name in known}
        return subprocess.run(
            [own.get(str(first), first), *rest],
            cwd=self.work,
            env=settings,
            input=given,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def versions(self) -> str:
        """What is installed, in one line."""
        code = (
            "import platform, numpy, numba, kvring;"
            "print(f'kvring {kvring.__version__}, Python {platform.python_version()}, NumPy"
            " {numpy.__version__}, Numba {numba.__version__}')"
        )
        return self.run("python", "-c", code).stdout.strip()
