"""Check the built pages: every link leads somewhere, and nothing is fetched from the network.

``python docs/_manual/check_pages.py site/html``. Links to other sites are allowed, and not
followed: pages must be readable without a network, and so must this be.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["faults", "main"]

# Attributes that make a browser fetch something by itself.
_FETCHED = {
    ("img", "src"),
    ("script", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("object", "data"),
}
_STYLED = re.compile(r"@import\s+['\"]?(?:https?:)?//|url\(\s*['\"]?(?:https?:)?//", re.IGNORECASE)


class Page(HTMLParser):
    """What a page links to, what it fetches, and the anchors in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect; called by the parser."""
        said = {name: value or "" for name, value in attrs}
        self.anchors |= {said[name] for name in ("id", "name") if said.get(name)}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "link" and "href" in said:
            # An icon or a style sheet is fetched; "next" and "search" are links.
            fetched = {"stylesheet", "preload", "icon", "shortcut", "preconnect"}
            where = self.fetched if fetched & set(said.get("rel", "").split()) else self.links
            where.append(said["href"])
        for name in ("src", "srcset", "data"):
            if (tag, name) in _FETCHED and name in said:
                self.fetched.append(said[name])


def faults(folder: Path) -> list[str]:
    """What is wrong with the pages in `folder`, one line each."""
    files = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {
        path: Page(path.read_text()) for path in files
    }  # the theme keeps a template in _static
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for target in page.fetched:
            if urlsplit(target).netloc:
                found.append(f"{name}: fetched from the network: {target}")
            elif not target.startswith("data:") and not _file(path, target).is_file():
                found.append(f"{name}: nothing to fetch at {target}")
        for target in page.links:
            if not urlsplit(target).scheme and not urlsplit(target).netloc:
                found += [f"{name}: {fault}" for fault in _broken(path, target, pages)]
    for style in [*folder.rglob("*.css"), *folder.rglob("*.svg")]:
        if _STYLED.search(style.read_text(errors="replace")):
            found.append(f"{style.relative_to(folder)}: fetches from the network")
    return sorted(set(found))


def _file(page: Path, target: str) -> Path:
    path = unquote(urlsplit(target).path)
    return (page.parent / path).resolve() if path else page


def _broken(page: Path, target: str, pages: dict[Path, Page]) -> list[str]:
    file, anchor = _file(page, target), unquote(urlsplit(target).fragment)
    if file.is_dir():
        file = file / "index.html"
    if not file.is_file():
        return [f"a link to {target}, which is not there"]
    if anchor and file in pages and anchor not in pages[file].anchors:
        return [f"a link to {target}, where there is no such anchor"]
    return []


def main() -> int:
    """Print all faults; the exit code says whether there are any."""
    folder = Path(sys.argv[1]).resolve()
    found = faults(folder)
    print("\n".join(found) or "every link leads somewhere, and nothing comes from the network")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
