"""The chat server of the tutorial is what the page shows, and no longer than it says."""

from __future__ import annotations

from tests.support import ROOT

FOLDER = ROOT / "docs" / "tutorials"


def test_the_page_shows_the_chat_server_as_it_is_in_forty_lines():
    server = (FOLDER / "chat_server.py").read_text()
    assert len(server.splitlines()) <= 40
    assert f"```python\n{server}```" in (FOLDER / "chats.md").read_text()
