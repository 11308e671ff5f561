"""The two tables of README say what the pages that they are taken from say."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, FINDINGS = ROOT / "README.md", ROOT / "docs" / "findings.md"
GENERATE = ROOT / "docs" / "benchmarks" / "generate.md"


def rows_of(text):
    """The cells of every row of the tables in a text, headings included."""
    lines = [line.strip() for line in text.splitlines()]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]


def between(mark):
    return re.search(rf"<!-- {mark} -->\n(.*?)<!-- end -->", README.read_text(), re.DOTALL).group(1)


def looked_at():
    """Caches of each release and the different findings in them, as docs/findings.md lists them."""
    newest, rest = FINDINGS.read_text().split("## What was looked at")
    # A mistake that two histories show has one title, with cache and operations behind it.
    titles = set(re.findall(r"^### (.+?)(?: \(`\w+:\w+`, [^()]+\))?$", newest, re.MULTILINE))
    caches = Counter(
        f"{library} {version}" for library, version, *_ in rows_of(rest.split("\n## ")[0])[2:]
    )
    return {
        name: (count, sum(title.startswith(f"{name}:") for title in titles))
        for name, count in caches.items()
    }


def test_the_table_of_findings_counts_what_the_findings_page_lists():
    listed = {
        name: (int(caches), 0 if findings == "none" else int(findings))
        for name, caches, findings, _ in rows_of(between("findings"))[2:]
    }
    assert listed == looked_at()


def test_the_table_of_generate_is_that_of_its_benchmark():
    shown = rows_of(between("generate"))
    measured = rows_of(GENERATE.read_text())
    assert len(shown) >= 4
    for row in shown:
        assert row in measured or set("".join(row)) <= set("-"), row
