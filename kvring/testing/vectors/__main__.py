"""``python -m kvring.testing.vectors``: do the files say what the reference says?"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvring.testing.vectors import FOLDER, TOPICS
from kvring.testing.vectors.regenerate import file_text, filled_file

__all__ = ["differences", "main"]


def differences(written: Any, computed: Any) -> Iterator[str]:
    """One line for each step of a file that says something else than the reference."""
    for group, computed_group in zip(written["groups"], computed["groups"], strict=True):
        tests = zip(group["tests"], computed_group["tests"], strict=True)
        for test, computed_test in tests:
            steps = zip(test["steps"], computed_test["steps"], strict=True)
            for number, (step, computed_step) in enumerate(steps, 1):
                for name in ("given", "expect"):
                    if step.get(name) != computed_step.get(name):
                        yield f"vector {test['id']}, step {number} ({step['op']}), {name}:"
                        yield f"  file       {json.dumps(step.get(name))}"
                        yield f"  reference  {json.dumps(computed_step.get(name))}"


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Compare all files with the reference, or write them anew; 1 if any differs."""
    parser = argparse.ArgumentParser(prog="python -m kvring.testing.vectors", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write what the reference says")
    write = parser.parse_args(arguments).write
    stale = count = 0
    for topic in TOPICS:
        path = folder / f"{topic}.json"
        text = path.read_text(encoding="utf-8")
        written = json.loads(text)
        computed = filled_file(written)
        renewed = file_text(computed)
        count += sum(len(group["tests"]) for group in computed["groups"])
        if renewed == text:
            continue
        stale += 1
        if write:
            path.write_text(renewed, encoding="utf-8")
            print(f"wrote {path}")
            continue
        lines = list(differences(written, computed))
        print(f"{path}: not what the reference says" if lines else f"{path}: not the usual form")
        diff = difflib.unified_diff(text.splitlines(), renewed.splitlines(), lineterm="", n=0)
        print("\n".join(lines or list(diff)[:20]))
    if stale and not write:
        print(f"{stale} of {len(TOPICS)} files differ; see README.md, then run with --write")
        return 1
    print(f"{count} vectors in {len(TOPICS)} files say what the reference says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
