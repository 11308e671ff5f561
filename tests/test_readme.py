"""README's example gives what README shows, and README shows the two commands first."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_example_gives_what_readme_shows():
    flags = doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=flags)
    assert result.attempted >= 5
    assert result.failed == 0


def test_the_example_pasted_into_a_fresh_interpreter_has_ten_lines():
    text = (ROOT / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    statements = [line for line in code.splitlines() if line.startswith((">>>", "..."))]
    assert len(statements) <= 10


def test_the_two_commands_come_before_anything_else_that_can_be_run():
    text = (ROOT / "README.md").read_text()
    first_block = re.search(r"```\w*\n(.*?)```", text, re.DOTALL).group(1)
    assert [line.split("#")[0].strip() for line in first_block.strip().splitlines()] == [
        "make demo",
        "make test",
    ]


def test_every_file_that_readme_links_to_is_there():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    for link in links:
        assert link.startswith("http") or (ROOT / link).exists(), link
