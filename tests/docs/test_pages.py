"""Pages are plain Markdown, which a code host shows too; the check of built pages can fail."""

import importlib.util
import re
import subprocess

import pytest

from tests.docs.blocks import DOCS, FENCE, pages
from tests.support import ROOT

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
SPEC = importlib.util.spec_from_file_location("check_pages", DOCS / "_manual" / "check_pages.py")
check_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_pages)

GOOD = '<a href="b.html#there">b</a><img src="_images/ring.svg"><a href="https://example.org">x</a>'


def tracked():
    """Files that a code host would have: those in the repository, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {ROOT / name for name in listed}


def anchors(page):
    """The anchors that a code host makes of a page's headings."""
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", t)) for t in titles]
    return {title.strip().lower().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere_on_a_code_host_too(page):
    files = tracked()
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target in files or any(target in file.parents for file in files), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_plain_markdown(page):
    text = page.read_text()
    assert not re.search(r"^\s*(`{3,}|:{3,})\{", text, re.MULTILINE), "a directive of MyST"
    assert not re.search(r"^\s*:::", text, re.MULTILINE)


def built(folder, body):
    """A small manual of two pages."""
    (folder / "_images").mkdir()
    (folder / "_images" / "ring.svg").write_text("<svg/>")
    (folder / "b.html").write_text('<h1 id="there">b</h1>')
    (folder / "a.html").write_text(body)
    return check_pages.faults(folder)


def test_pages_that_are_all_right_have_no_faults(tmp_path):
    assert built(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="c.html">c</a>', "a link to c.html, which is not there"),
        ('<a href="b.html#gone">b</a>', "no such anchor"),
        ('<a href="#gone">here</a>', "no such anchor"),
        ('<img src="_images/other.svg">', "nothing to fetch"),
        ('<script src="https://cdn.example.org/x.js"></script>', "from the network"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "from the network"),
        ('<img src="https://example.org/badge.svg">', "from the network"),
    ],
)
def test_a_dead_link_and_whatever_comes_from_the_network_are_faults(tmp_path, body, fault):
    (found,) = built(tmp_path, GOOD + body)
    assert found.startswith("a.html: ")
    assert fault in found


def test_a_style_sheet_that_loads_a_font_from_the_network_is_a_fault(tmp_path):
    (tmp_path / "x.css").write_text("@font-face{src:url(https://fonts.example.org/a.woff2)}")
    assert built(tmp_path, GOOD) == ["x.css: fetches from the network"]
