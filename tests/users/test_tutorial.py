"""The tutorial runs from top to bottom, as it stands there."""

import re
from pathlib import Path

import pytest

from tests.users.tiny import RELEASE

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "generate.md"


@pytest.mark.skipif(RELEASE < (5, 24), reason="the page uses the argument's new name")
def test_every_block_of_the_page_runs():
    text = PAGE.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["endless"].rings.length == 16 + 4 + 32
