"""The page of the laws has each once, with all of its tests; the vectors are as many as told."""

import json
import re

from tests.docs.blocks import DOCS
from tests.support import ROOT

PAGE = (DOCS / "concepts" / "laws.md").read_text()
FOLDER = ROOT / "tests" / "laws"
VECTORS = ROOT / "kvring" / "testing" / "vectors"


def test_fourteen_laws_stand_on_the_page_in_order():
    assert "fourteen laws" in (DOCS / "index.md").read_text()
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, 15))


def test_each_law_names_all_of_its_test_files():
    for part in re.split(r"^## (?=\d)", PAGE, flags=re.MULTILINE)[1:]:
        number = int(part.partition(".")[0])
        named = re.findall(r"\.\./tests/laws/(\w+\.py)\)", part)
        there = {path.name for path in FOLDER.glob(f"test_law_{number:02d}_*.py")}
        assert len(named) == len(set(named))
        assert set(named) == there


def test_the_page_of_the_vectors_says_how_many_there_are():
    count = sum(
        len(group["tests"])
        for path in VECTORS.glob("*.json")
        for group in json.loads(path.read_text()).get("groups", ())
    )
    assert f"\n{count} short histories" in (VECTORS / "README.md").read_text()
