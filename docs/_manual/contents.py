"""Turns plain Markdown into a book: the table of contents, links to folders, pages from elsewhere.

- In a page with the comment ``<!-- contents -->``, the list items that follow and begin with a link
  to a page are its table of contents.
- ``<!-- contents also: folder/*.md -->`` adds generated pages, as many as there are.
- A link to a folder leads to the README in it, as it does on a code host.
- ``<!-- include: ../file.md -->`` is replaced by that file, its first heading dropped.
- Pictures in `pictures` keep their own background; others are plots, which a phone scrolls.
- A link to an included file leads to the page that includes it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes

from .markdown import LINK, prose

__all__ = ["setup"]

_CONTENTS = "<!-- contents -->"
_ITEM = re.compile(r"^[-*|] *\[[^\]]*\]\(([^)#]+\.md)\)")
_ALSO = re.compile(r"^<!-- contents also: (\S+) -->$", re.MULTILINE)
_INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _on_source)
    app.connect("doctree-read", _on_doctree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _on_source(app: Any, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".md":
        return
    here = path.parent
    text, included = _with_included(source[0], here)
    for file in included:
        app.env.note_dependency(str(file))
    homes = _homes(Path(app.srcdir))
    lines = [_relinked(line, here, homes) if plain else line for line, plain in prose(text)]
    source[0] = "".join(lines) + _toctree(text, here)


def _with_included(text: str, here: Path) -> tuple[str, list[Path]]:
    """The text with every included file in its place, its links made relative to `here`."""
    files: list[Path] = []

    def body(found: re.Match[str]) -> str:
        file = (here / found[1]).resolve()
        files.append(file)
        whole = re.sub(r"\A# .*\n", "", file.read_text())
        return "".join(
            LINK.sub(lambda link: link[1] + _moved(link[2], file.parent, here) + link[3], line)
            if plain
            else line
            for line, plain in prose(whole)
        )

    return _INCLUDE.sub(body, text), files


def _moved(target: str, old: Path, new: Path) -> str:
    if "://" in target or target.startswith("#"):
        return target
    return os.path.relpath(old / target, new)


def _homes(docs: Path) -> dict[Path, Path]:
    """Which page includes a file from outside: the file, and the page."""
    found = {}
    for page in docs.rglob("*.md"):
        for name in _INCLUDE.findall(page.read_text()):
            found[(page.parent / name).resolve()] = page
    return found


def _relinked(line: str, here: Path, homes: dict[Path, Path]) -> str:
    """The line with links to folders and to included files mended."""

    def mended(link: re.Match[str]) -> str:
        target, hash_, anchor = link[2].partition("#")
        file = (here / target).resolve()
        if target and (file / "README.md").is_file():
            file = file / "README.md"
            target = f"{target.rstrip('/')}/README.md"
        if target and file in homes:
            target = os.path.relpath(homes[file], here)
        return link[1] + target + hash_ + anchor + link[3]

    return LINK.sub(mended, line)


def _toctree(text: str, here: Path) -> str:
    """The pages that are listed behind the mark, as Sphinx wants to be told of them."""
    _, mark, rest = text.partition(_CONTENTS)
    pages = [found[1] for found in map(_ITEM.match, rest.splitlines()) if found]
    for pattern in _ALSO.findall(text):
        folder, _, name = pattern.rpartition("/")
        pages += [f"{folder}/{page.name}" for page in sorted((here / folder).glob(name))]
    if not mark or not pages:
        return ""
    return "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(dict.fromkeys(pages)) + "\n```\n"


def _on_doctree(app: Any, doctree: nodes.document) -> None:
    """Pictures of ours follow the page between light and dark; plots are wide, and may scroll."""
    for image in doctree.findall(nodes.image):
        if image["uri"].startswith("pictures/"):
            image["classes"].append("dark-light")  # the theme's class: no white card behind it
        elif isinstance(image.parent, nodes.paragraph):
            image.parent["classes"].append("plot")
