"""No file that differs from a saved one by anything is a cache; all of 10,000 say so.

``KVRING_SNAPSHOTS=full`` for all of them (`make snapshots`), fewer otherwise.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from kvring import KVCache, SnapshotError
from tests.cache.saved import STATES, assert_same
from tests.snapshots.mutations import WAYS, mutated

FULL = os.environ.get("KVRING_SNAPSHOTS") == "full"
FILES = -(-(10_000 if FULL else 700) // len(STATES))  # of each state


@pytest.mark.parametrize("name", STATES)
def test_every_mutated_file_is_refused(tmp_path: Path, name: str) -> None:
    cache = STATES[name](batch=2)
    path = tmp_path / "file"
    cache.save(path)
    saved = path.read_bytes()
    refused: Counter[str] = Counter()
    for way, data in mutated(saved, FILES, seed=len(name)):
        assert data != saved
        path.write_bytes(data)
        with pytest.raises(SnapshotError) as caught:
            KVCache.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        refused[way] += 1
    assert sum(refused.values()) == FILES
    assert set(refused) == set(WAYS)
    path.write_bytes(saved)
    assert_same(cache, KVCache.load(path))
