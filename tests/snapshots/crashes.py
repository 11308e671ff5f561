"""A process that saves over and over is killed at random instants; what it leaves is looked at.

``python -m tests.snapshots.crashes 200`` kills two hundred. After each the file must load, hold
rows that are right, and be no older than the last save that was known to be done.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kvring import Append, Circular, KVCache

LAYERS, KV_HEADS, HEAD_DIM, WINDOW = 4, 4, 64, 700


def make() -> KVCache:
    """Some megabytes, so that a save takes as long as a kill can hit."""
    modes = (Circular(WINDOW, 4), Append(10**6)) * (LAYERS // 2)
    return KVCache(layers=LAYERS, kv_heads=KV_HEADS, head_dim=HEAD_DIM, strategy=modes)


def advance(cache: KVCache, tokens: int) -> None:
    """Rows whose every element is their position."""
    first = cache.seq_len
    numbers = np.arange(first, first + tokens, dtype=np.float32).reshape(1, tokens, 1, 1)
    rows = np.ascontiguousarray(np.broadcast_to(numbers, (1, tokens, KV_HEADS, HEAD_DIM)))
    for layer in range(LAYERS):
        cache.update(layer, rows, -rows)


def verify(path: Path, least: int) -> int:
    """Load; its seq_len, once all of it is known to be right and not older than `least`."""
    cache = KVCache.load(path)
    cache.check()
    seq_lens = set(cache.seq_lens.ravel().tolist())
    assert len(seq_lens) == 1, seq_lens
    assert cache.seq_len >= least, f"{cache.seq_len} tokens, {least} were saved before"
    for layer in range(LAYERS):
        view = cache.read(layer)
        expected = view.positions.astype(np.float32)[None, :, None, None]
        assert (view.keys == expected).all()
        assert (view.values == -expected).all()
    return cache.seq_len


def save_for_ever(path: Path, pipe: int) -> None:
    """What the child does: go on from the file, save, tell, and again."""
    cache = KVCache.load(path)
    while True:
        advance(cache, 1)
        cache.save(path)
        os.write(pipe, struct.pack("q", cache.seq_len))


def kill_once(path: Path, delay_seconds: float) -> int:
    """The last seq_len that a child had saved for sure, before it was killed."""
    hears, tells = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hears)
        try:
            save_for_ever(path, tells)
        finally:
            os._exit(1)
    os.close(tells)
    time.sleep(delay_seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    told = b""
    while more := os.read(hears, 1 << 16):
        told += more
    os.close(hears)
    whole = len(told) // 8 * 8
    return struct.unpack("q", told[whole - 8 : whole])[0] if whole else 0


def main(kills: int) -> None:
    """Kill, look, and again; says at the end when in a save the kills came."""
    rng = random.Random(kills)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat"
        cache = make()
        advance(cache, 2 * WINDOW)
        cache.save(path)
        started = time.perf_counter()
        KVCache.load(path).save(path)
        seconds = time.perf_counter() - started
        known, left_behind = cache.seq_len, 0
        for _ in range(kills):
            known = max(known, kill_once(path, rng.uniform(0, 4 * seconds)))
            known = verify(path, known)
            others = [name for name in os.listdir(folder) if name != path.name]
            assert all(name.startswith(".kvring-") and name.endswith(".tmp") for name in others)
            assert len(others) <= 1, others
            for name in others:
                left_behind += 1
                Path(folder, name).unlink()
    saves = known - 2 * WINDOW
    print(f"{kills} kills, {left_behind} of them in the middle of a file, {saves} saves done")


if __name__ == "__main__":
    main(int(sys.argv[1]))
