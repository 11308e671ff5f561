"""Sixteen threads, two hundred sequences, ten times the budget: ``make soak`` (MINUTES=5).

Each thread leases a sequence, reads every row of it, and grows, truncates or closes it. Every token
is written with a tag of its own, which this file keeps in a list of its own; every row of K and V
of every layer is compared with what its tag says. Meanwhile one thread samples: what the pool has
committed, and what the process has resident.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass, field
from random import Random
from time import perf_counter

import numpy as np

from kvring import Append, BudgetError, CachePool, KVCache, LeaseError, warm_up
from tests.pool.pools import resident_bytes

MIB = 1 << 20
# Rows are read in blocks of so many, so that what the reading itself takes is little.
BLOCK_ROWS = 32
PATIENCE_SECONDS = 400.0


@dataclass
class Soak:
    """One run.

    Parameters
    ----------
    budget_bytes : int, bytes
    sequences, threads : int
    seconds : float
    need : float
        What all sequences would like to have together, as a multiple of the budget.
    least_rows, least_restores : int
        It goes on for longer, on a slow machine, until so much has happened.
    """

    budget_bytes: int = 1 << 30
    sequences: int = 200
    threads: int = 16
    seconds: float = 300.0
    need: float = 10.0
    least_rows: int = 0
    least_restores: int = 0
    layers: int = 4
    layout: str = "BHSD"
    rows_read: int = 0
    turns: int = 0
    refused: int = 0
    busy: int = 0
    samples: int = 0
    most_resident: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kv_heads, self.dim = 8, 128
        self.token_nbytes = self.layers * 2 * self.kv_heads * self.dim * 4
        self.tokens = int(self.budget_bytes * self.need / self.sequences / self.token_nbytes)
        self.tags: dict[str, np.ndarray] = {}
        self._stop = threading.Event()
        self._counting = threading.Lock()

    def run(self, spill: str, *, show: bool) -> CachePool:
        """Soak a pool; raises AssertionError with what was wrong first."""
        warm_up("uint32")
        pool = CachePool(
            budget_bytes=self.budget_bytes,
            layers=self.layers,
            kv_heads=self.kv_heads,
            head_dim=self.dim,
            strategy=Append(4 * self.tokens),
            dtype="uint32",
            layout=self.layout,  # type: ignore[arg-type]
            spill=spill,
        )
        threads = [
            threading.Thread(target=self._guarded, args=(pool, number), name=f"soak {number}")
            for number in range(self.threads)
        ]
        self.start_resident = resident_bytes()
        began = shown = perf_counter()
        for thread in threads:
            thread.start()
        while not self.problems and not self._is_enough(pool, perf_counter() - began):
            self._sample(pool)
            if show and perf_counter() - shown > 1:
                shown = perf_counter()
                self._show(pool, shown - began)
            self._stop.wait(0.01)
        self._stop.set()
        for thread in threads:
            thread.join()
        self._sample(pool)
        if show:
            print(file=sys.stderr)
        assert not self.problems, self.problems[0]
        return pool

    def _is_enough(self, pool: CachePool, seconds: float) -> bool:
        if seconds < self.seconds:
            return False
        enough = self.rows_read > self.least_rows and pool.stats.restores >= self.least_restores
        return enough or seconds > PATIENCE_SECONDS

    def _guarded(self, pool: CachePool, number: int) -> None:
        random = Random(number)
        try:
            while not self._stop.is_set():
                self._turn(pool, random)
        except BaseException:
            self.problems.append(traceback.format_exc())

    def _turn(self, pool: CachePool, random: Random) -> None:
        name = f"sequence {random.randrange(self.sequences)}"
        try:
            with pool.lease(name, timeout=0.05) as cache:
                closes = self._use(cache, name, random)
            if closes:
                self._close(pool, name)
        except LeaseError:
            self._count(busy=1)
        except BudgetError:  # a restore beside fifteen others
            self._count(refused=1)

    def _use(self, cache: KVCache, name: str, random: Random) -> bool:
        """Read all of a sequence, grow or truncate it, and say whether it may be closed."""
        with self._counting:
            tags = self.tags.setdefault(name, np.empty(0, np.uint32))
        self._read(cache, name, tags)
        if cache.seq_len >= self.tokens:
            if random.random() < 0.5:
                return True
            cache.truncate(random.randrange(self.tokens))
            self.tags[name] = tags[: cache.seq_len].copy()
            return False
        for _ in range(random.randrange(1, 6)):
            count = random.choice([1, 1, 7, 100, self.tokens // 3 + 1])
            if not self._grow(cache, name, count, random):
                break
        self._count(turns=1)
        return False

    def _grow(self, cache: KVCache, name: str, count: int, random: Random) -> bool:
        new = np.random.default_rng(random.getrandbits(64)).integers(0, 2**32, count, np.uint32)
        before = cache.seq_len
        try:
            for first in range(0, count, BLOCK_ROWS):
                tags = new[first : first + BLOCK_ROWS]
                for layer in range(cache.layers):
                    cache.update(layer, *self._rows(tags, layer))
        except BudgetError:
            self._count(refused=1)
            cache.truncate(min(cache.seq_len, before))
            cache.truncate(cache.seq_len // 2)
            self.tags[name] = self.tags[name][: cache.seq_len].copy()
            return False
        self.tags[name] = np.concatenate([self.tags[name], new])
        return True

    def _rows(self, tags: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """K and V of tokens: each element depends on tag, layer, head and its own place."""
        places = np.arange(self.kv_heads * self.dim, dtype=np.uint32).reshape(self.kv_heads, -1)
        token = tags * np.uint32(2_654_435_761) + np.uint32(layer)
        if self.layout == "BSHD":
            keys = token[None, :, None, None] ^ places[None, None]
        else:
            keys = token[None, None, :, None] ^ places[None, :, None]
        return keys, ~keys

    def _read(self, cache: KVCache, name: str, tags: np.ndarray) -> None:
        """Compare every row with what its tag says."""
        axis = self.layout.index("S")
        assert cache.seq_lens.tolist() == [[len(tags)]] * self.layers, f"{name}: {cache.seq_lens}"
        for layer in range(self.layers):
            keys, values = cache.read(layer)
            for first in range(0, len(tags), BLOCK_ROWS):
                some = tags[first : first + BLOCK_ROWS]
                where = (slice(None),) * axis + (slice(first, first + len(some)),)
                for read, wanted in zip((keys, values), self._rows(some, layer), strict=True):
                    same = np.array_equal(read[where], wanted)
                    assert same, f"{name}: wrong rows from {first} in layer {layer}"
        self._count(rows_read=2 * self.layers * len(tags))

    def _close(self, pool: CachePool, name: str) -> None:
        with self._counting:  # nobody else may begin anew before the tags are gone
            if pool.close(name, timeout=0):
                self.tags.pop(name, None)

    def _sample(self, pool: CachePool) -> None:
        self.samples += 1
        stats, resident = pool.stats, resident_bytes()
        self.most_resident = max(self.most_resident, resident)
        if max(stats.bytes, stats.high_water_bytes) > self.budget_bytes:
            self.problems.append(f"budget broken: {stats}")
        if resident - self.start_resident > 1.1 * self.budget_bytes:
            self.problems.append(f"resident memory grew by {self.grown} bytes")

    @property
    def grown(self) -> int:
        """The most that resident memory has grown since the start."""
        return self.most_resident - self.start_resident

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, count in more.items():
                setattr(self, name, getattr(self, name) + count)

    def _show(self, pool: CachePool, seconds: float) -> None:
        stats = pool.stats
        print(
            f"\r{seconds:4.0f} of {self.seconds:.0f} s: {stats.bytes / MIB:6.0f} MiB committed,"
            f" most {stats.high_water_bytes / MIB:.0f} of {self.budget_bytes / MIB:.0f};"
            f" {self.rows_read / 1e6:.1f} million rows read, {stats.spills} spills,"
            f" {stats.restores} restores ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def report(self, pool: CachePool) -> str:
        """What was seen, for people."""
        stats = pool.stats
        return (
            f"{self.samples} samples; high-water mark {stats.high_water_bytes:,} of"
            f" {self.budget_bytes:,} bytes; resident memory grew by at most {self.grown:,} bytes,"
            f" {self.grown / self.budget_bytes:.1%} of the budget\n"
            f"{self.rows_read:,} rows read, all right; {self.turns:,} turns, {stats.spills}"
            f" spills, {stats.restores} restores, {self.refused} refusals, {self.busy} times busy"
        )


def main() -> None:
    """Soak for MINUTES."""
    soak = Soak(seconds=60 * float(os.environ.get("MINUTES") or 5))
    with tempfile.TemporaryDirectory(dir=os.environ.get("SPILL") or None) as folder:
        pool = soak.run(folder, show=True)
        print(soak.report(pool))
        pool.close()
        assert os.listdir(folder) == [], "the spill folder was left behind"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except AssertionError as error:
        sys.exit(f"error: {error}")
