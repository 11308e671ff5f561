"""Fill the generated parts of the oracle's pages; with --check, fail if they are not current."""

import re
import sys
from dataclasses import fields

from kvring.testing import Supports
from kvring.testing.report import report_text
from kvring.testing.search import search
from tests.conformance.rings import SHOWCASE
from tests.support import ROOT


def ring():
    """The example in Python, as it lies in its folder."""
    code = (ROOT / "docs/examples/ring_python/my_ring.py").read_text()
    return f"```python\n{code}```"


def supports():
    """Every field of the declaration with its default, from the docstring of `Supports`."""
    text = Supports.__doc__.split("Parameters\n")[1].split("Examples\n")[0]
    entries = re.findall(r"^    (\w[\w, ]*) : (.*)\n((?:        .*\n)+)", text, re.MULTILINE)
    defaults = {entry.name: entry.default for entry in fields(Supports)}
    lines = ["| field | default | meaning |", "|---|---|---|"]
    for names, kind, meaning in entries:
        words = " ".join(meaning.split()).replace("``", "`")
        for name in names.split(", "):
            default = defaults[name] if name != "without" else {}
            choices = f" One of {_in_code(kind)}." if kind.startswith("{") else ""
            lines.append(f"| `{name}` | `{default!r}` | {words}{choices} |")
    return "\n".join(lines)


def _in_code(kind):
    """The choices of a docstring's `{"a", "b"}`, each as code: quotes are part of the value."""
    return ", ".join(f"`{choice.strip()}`" for choice in kind.strip("{}").split(","))


def reports():
    """One report for each kind of observation."""
    parts = []
    for kind, mutant in SHOWCASE.items():
        divergence = search(mutant, max_examples=300).divergence
        parts.append(f"### {kind}: {mutant.__doc__.splitlines()[0]}\n")
        parts.append(f"```text\n{report_text(divergence)}```\n")
    return "\n".join(parts).rstrip()


PAGES = {"docs/conformance.md": (supports, reports), "docs/tutorials/own-cache.md": (ring,)}


def filled(text, parts):
    """The page with its generated parts renewed."""
    for make in parts:
        part = re.compile(rf"(<!-- generated: {make.__name__} -->\n).*?(<!-- end -->)", re.DOTALL)
        new = make()
        assert part.search(text), make.__name__
        text = part.sub(lambda found, new=new: f"{found[1]}\n{new}\n\n{found[2]}", text)
    return text


if __name__ == "__main__":
    for name, parts in PAGES.items():
        current = (ROOT / name).read_text()
        renewed = filled(current, parts)
        if "--check" not in sys.argv:
            (ROOT / name).write_text(renewed)
        elif renewed != current:
            sys.exit(f"{name} is not current; run: python -m tests.conformance.write_reports")
