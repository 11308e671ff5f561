"""What a maintainer is told about a finding: a title, why a user would care, and a script."""

import json
from pathlib import Path

__all__ = ["note"]

_NOTES = json.loads((Path(__file__).parent / "notes.json").read_text(encoding="utf-8"))


def note(cache, key):
    """Title, text and the name of a script; empty where nobody has written any yet."""
    found = _NOTES.get(cache, {}).get(key, {})
    return found.get("title", ""), found.get("text", ""), found.get("script", "")
