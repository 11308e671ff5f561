"""README's example gives what README shows, and README shows the two commands first."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_example_gives_what_readme_shows():
    flags = doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=flags)
    assert result.attempted >= 5
    assert result.failed == 0


def example():
    """The lines of the example: what is typed, without prompts, and what it prints."""
    text = (ROOT / "README.md").read_text()
    lines = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1).strip().splitlines()
    typed = [line[4:] for line in lines if line.startswith((">>>", "..."))]
    return typed, [line for line in lines if not line.startswith((">>>", "..."))]


def test_the_example_has_ten_lines():
    typed, _ = example()
    assert len([line for line in typed if line]) <= 10


def test_the_example_pasted_into_a_fresh_interpreter_prints_what_readme_shows():
    # Unlike doctest, an interpreter wants an empty line after a loop.
    typed, shown = example()
    pasted = "\n".join(typed) + "\n"
    run = [sys.executable, "-i", "-q", "-c", ""]
    done = subprocess.run(run, input=pasted, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == shown, done.stderr


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


def test_generate_is_called_in_readme_as_in_the_tutorial_and_the_adapter():
    text = (ROOT / "README.md").read_text()
    adapter = (ROOT / "kvring" / "adapters" / "transformers.py").read_text()
    tutorial = (ROOT / "docs" / "tutorials" / "generate.md").read_text()
    call = re.search(r"^model\.generate\(.*?before", text, re.MULTILINE).group()
    assert call in adapter
    for line in re.findall(r"^(?:from kvring\.|model\.set_attn).*?(?=  #|$)", text, re.MULTILINE):
        assert line in tutorial
    for command in (
        re.search(r"^pip install torch.*?(?=  +#)", text, re.MULTILINE).group().split(" && ")
    ):
        assert command in tutorial
