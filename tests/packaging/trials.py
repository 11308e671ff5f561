"""What is tried in a fresh environment. A trial answers with a complaint, or with nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .environment import Environment
from .wheel import ROOT

__all__ = ["TRIALS"]

HERE = Path(__file__).parent


def comes_from_the_wheel(environment: Environment) -> str:
    """Kvring is imported from the wheel, and nothing else is installed."""
    code = "import kvring, sys; print(kvring.__file__, sys.prefix)"
    file, prefix = environment.run("python", "-c", code).stdout.split()
    listed = environment.run("python", "-m", "pip", "list", "--format=json").stdout
    names = {entry["name"].lower() for entry in json.loads(listed)}
    extra = names - {"kvring", "numpy", "numba", "llvmlite", "pip", "setuptools"}
    if not file.startswith(prefix) or extra:
        return f"{file} is not below {prefix}, or too much is there: {sorted(extra)}"
    return ""


def readme_example(environment: Environment) -> str:
    """README's examples print what README shows."""
    shutil.copy(ROOT / "README.md", environment.work)
    flags = ["-o", "NORMALIZE_WHITESPACE", "-v"]
    done = environment.run("python", "-m", "doctest", *flags, "README.md")
    tried = re.search(r"^(\d+) (?:tests in|passed)", done.stdout, re.MULTILINE)
    if done.returncode or not tried or int(tried.group(1)) < 5:
        return done.stdout[-2000:] + done.stderr
    return ""


def vectors(environment: Environment) -> str:
    """The portable vectors find nothing in kvring's cache, in either order."""
    for order in ("temporal", "physical"):
        target = f"kvring.testing.backends.kvring_cache:{order}"
        done = environment.run("kvring", "check", target, "--no-search", "--json", "-")
        if done.returncode:
            return done.stdout + done.stderr
        found = json.loads(done.stdout)
        if found["verdict"] != "clean" or found["vectors"].get("passed", 0) < 50:
            return done.stdout
    return ""


def refuses_what_needs_an_extra(environment: Environment) -> str:
    """A search without its extra says which one to install."""
    done = environment.run("kvring", "check", "kvring.testing.backends.kvring_cache:temporal")
    if done.returncode != 2 or "pip install hypothesis" not in done.stderr:
        return done.stdout + done.stderr
    return "" if "Traceback" not in done.stderr else done.stderr


def commands(environment: Environment) -> str:
    """Every command works without extras, as a script and as a module."""
    mode = "circular(window=4, sink_tokens=1, rollback_tokens=2)"
    save = (
        "from kvring import Append, KVCache;"
        "KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4)).save('saved.kv')"
    )
    environment.run("python", "-c", save)
    for command, words in (
        (("kvring",), "kvring COMMAND --help says more"),
        (("kvring", "--version"), "kvring "),
        (("python", "-m", "kvring", "info"), "put_row"),
        (("kvring", "trace", mode, "9", "1", "truncate:9"), "which position 10 replaces"),
        (("kvring", "inspect", "saved.kv", "--verify"), "all checksums are right"),
        (("kvring", "warm-up", "float16"), "kernels ready"),
        (("kvring", "bench", "--only", "prefill", "--seconds", "0.05"), "times kvring"),
    ):
        done = environment.run(*command)
        if done.returncode or words not in done.stdout or "Traceback" in done.stderr:
            return f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return ""


def types(environment: Environment) -> str:
    """A user's program passes mypy --strict against the installed wheel, and runs."""
    for name in ("user.py", "user_wrong.py"):
        shutil.copy(HERE / name, environment.work)
    done = _mypy(environment, "user.py")
    if done.returncode:
        return done.stdout + done.stderr
    ran = environment.run("python", "-W", "error", "user.py")
    if ran.returncode or "CapacityError" not in ran.stdout:
        return ran.stdout + ran.stderr
    text = (environment.work / "user_wrong.py").read_text().splitlines()
    marked = {number for number, line in enumerate(text, 1) if line.endswith("# wrong")}
    said = _mypy(environment, "user_wrong.py").stdout
    found = re.findall(r"^user_wrong.py:(\d+): error", said, re.MULTILINE)
    return "" if set(map(int, found)) == marked else f"marked {marked}, found {found}"


def _mypy(environment: Environment, name: str) -> subprocess.CompletedProcess[str]:
    """The checkout's mypy, which looks at the environment's packages."""
    chosen = ["--strict", "--python-executable", environment.python]
    return environment.run(sys.executable, "-m", "mypy", *chosen, name)


TRIALS: tuple[Callable[[Environment], str], ...] = (
    comes_from_the_wheel,
    readme_example,
    vectors,
    refuses_what_needs_an_extra,
    commands,
    types,
)
