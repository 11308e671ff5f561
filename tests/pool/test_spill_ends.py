"""What becomes of a spill folder: with its pool, with its process, after a process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kvring.pool.spill import SpillFolder
from tests.pool.pools import make_sequence, named, small_pool
from tests.pool.test_spill import spill_files, spilled


def test_closing_a_sequence_or_the_pool_removes_its_files(tmp_path):
    pool, _ = spilled(tmp_path)
    assert pool.close("a")
    assert spill_files(tmp_path) == []
    named(pool, "b")
    make_sequence(pool, "c", 20)
    pool.close()
    assert os.listdir(tmp_path) == []


def test_closing_the_pool_waits_for_what_is_on_its_way_to_disk(tmp_path, monkeypatch):
    pool = small_pool(pages=8, spill=tmp_path)
    make_sequence(pool, "a", 20)
    writing, go_on = threading.Event(), threading.Event()
    write = SpillFolder.write

    def slow(*arguments):
        writing.set()
        assert go_on.wait(10)
        return write(*arguments)

    monkeypatch.setattr(SpillFolder, "write", slow)
    spills = threading.Thread(target=make_sequence, args=(pool, "b", 20))
    spills.start()
    assert writing.wait(10)
    closes = threading.Thread(target=pool.close)
    closes.start()
    closes.join(0.2)
    assert closes.is_alive()
    go_on.set()
    closes.join(10)
    spills.join(10)
    assert os.listdir(tmp_path) == []
    assert (pool.stats.bytes, pool.stats.sequences) == (0, 0)


def test_a_pool_that_is_dropped_leaves_no_files(tmp_path):
    pool, _ = spilled(tmp_path)
    del pool
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("how", ["end", "exception", "sys.exit"])
def test_a_process_that_ends_leaves_no_files(how, tmp_path):
    done = run(f"{MAKE}{ENDINGS[how]}", tmp_path)
    assert done.stdout.split() == ["spilled", "1"]
    assert done.returncode == {"end": 0, "exception": 1, "sys.exit": 7}[how]
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_has_left_goes_when_the_next_pool_is_made(tmp_path):
    done = run(f"{MAKE}\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert done.returncode == -signal.SIGKILL
    assert len(spill_files(tmp_path)) == 1
    pool, kept = spilled(tmp_path)
    assert len(os.listdir(tmp_path)) == 1
    second = small_pool(pages=8, spill=tmp_path)  # sweeps, but not what is in use
    assert named(pool, "a") == kept
    second.close()


MAKE = """
import sys
from tests.pool.pools import *
pool = small_pool(pages=8, spill=sys.argv[1])
make_sequence(pool, "a", 20)
make_sequence(pool, "b", 20)
print("spilled", pool.stats.spilled, flush=True)
"""
ENDINGS = {"end": "", "exception": "1 / 0", "sys.exit": "sys.exit(7)"}


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
