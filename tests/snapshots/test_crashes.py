"""A crash at any instant leaves the old file or the new one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kvring.snapshot import replacing
from tests.cache.saved import in_every_mode
from tests.support import ROOT

FULL = os.environ.get("KVRING_SNAPSHOTS") == "full"
KILLS = 200 if FULL else 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_process_killed_while_it_saves_leaves_a_file_that_is_right() -> None:
    command = [sys.executable, "-m", "tests.snapshots.crashes", str(KILLS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found = re.search(r"(\d+) kills, (\d+) of them .*, (\d+) saves done", done.stdout)
    assert found, done.stdout
    kills, in_the_middle, saves = map(int, found.groups())
    assert kills == KILLS
    assert in_the_middle > 0
    assert saves > 0


def test_the_data_is_on_disk_before_it_gets_its_name_and_the_name_before_save_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat"
    did: list[str] = []

    def noted(name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            sync_of = os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else ""
            of_folder = sync_of == str(tmp_path)
            did.append(name if name != "fsync" else f"fsync {'folder' if of_folder else 'file'}")
            return real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(replacing.os, name, noted(name, getattr(os, name)))
    in_every_mode().save(path)
    assert did == ["fsync file", "replace", "fsync folder"]
