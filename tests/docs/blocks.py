"""The code blocks of the manual: every block is run, or says why it is not.

A comment right before a block tells what it needs, and a code host does not show it:

- ``<!-- needs: torch, mlx_lm -->``: run where these modules can be imported, else skipped.
- ``<!-- by hand: why -->``: not run.
- ``<!-- file: name.py -->``: a copy of that file, which lies beside the page and has a runner.
- "Save this as `name.py`" in the text before a block: it is also a module of that name for what
  follows on the page.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ROOT

DOCS = ROOT / "docs"
# Output, pictures in letters, data. Everything else is run.
NOT_CODE = {"text", "json", ""}
FENCE = re.compile(r"^( *)(`{3,})(\S*)\n(.*?)^\1\2\n", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (needs|by hand|file): (.*?) -->\s*\Z", re.DOTALL)
SAVED = re.compile(r"Save (?:this|it) as\s+`(\w+\.py)`")
# Their scripts have runners of their own, with the releases that they are about.
PAGES_RUN_ELSEWHERE = {"findings.md": "make findings, make backends"}


@dataclass
class Block:
    """One block of code: what it says, where, and what the page says about running it."""

    page: Path
    line: int
    language: str
    code: str
    needs: list[str] = field(default_factory=list)
    by_hand: str = ""
    file: str = ""
    saved_as: str = ""

    @property
    def where(self):
        """For a message: page and line."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages():
    """Every page of the manual in Markdown; tests/test_readme.py looks after README."""
    made = {"api", "target", "build"}
    return [p for p in sorted(DOCS.rglob("*.md")) if not made & set(p.parts)]


def blocks(page):
    """All blocks of a page that are code, in order."""
    text = page.read_text()
    found = []
    end = 0
    for fence in FENCE.finditer(text):
        indent, _, language, code = fence.groups()
        before, end = text[end : fence.start()], fence.end()
        if language in NOT_CODE:
            continue
        line = text.count("\n", 0, fence.start()) + 1
        code = re.sub(f"^{indent}", "", code, flags=re.MULTILINE)
        block = Block(page, line, language, code)
        mark = MARK.search(before)
        if mark and mark[1] == "needs":
            block.needs = [name.strip() for name in mark[2].split(",")]
        elif mark:
            block.by_hand = " ".join(mark[2].split())
            block.file = mark[2] if mark[1] == "file" else ""
        saved = SAVED.findall(before)
        block.saved_as = saved[-1] if saved and language == "python" else ""
        found.append(block)
    return found
