"""Just enough about Markdown: lines outside of code blocks, and the links in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["LINK", "prose"]

# [words](target), target without a title; pictures ![words](target) match as well.
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")


def prose(text: str) -> Iterator[tuple[str, bool]]:
    """Each line with its end, and whether it is prose, not code."""
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
            yield line, False
        elif mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
            yield line, False
        else:
            yield line, not fence
