"""Sixteen threads on three caches for minutes, every row checked: ``make stress MINUTES=10``.

A row says which layer it belongs to, who wrote it and which of his rows it is; every element of K
and V repeats it. A reader checks that all elements of a row agree, that K and V do, that the layer
is right, and that the rows of a writer come in the order in which he wrote them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvring import Append, CapacityError, Circular, EvictedError, KVCache, PositionError
from kvring import StaleViewError as Stale

LAYERS, HEADS, DIM = 4, 2, 8
WRITERS, READERS = 8, 8
ROWS_PER_WRITER = 1 << 19  # tags stay below 2**24, which float32 holds exactly


@dataclass
class Tally:
    """What one thread has done."""

    operations: int = 0
    nbytes: int = 0
    longest_seconds: float = 0.0

    def timed(self, call: Callable[[], Any]) -> Any:
        """Carry out one operation and note how long it took."""
        started = time.perf_counter()
        try:
            return call()
        finally:
            self.operations += 1
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - started)


def tagged(layer: int, writer: int, number: int, count: int) -> np.ndarray:
    """`count` rows of a writer, the first of them his `number`-th."""
    numbers = (np.arange(number, number + count) % ROWS_PER_WRITER) * WRITERS + writer
    tags = (numbers * LAYERS + layer).astype(np.float32)
    return np.broadcast_to(tags[None, :, None, None], (1, count, HEADS, DIM)).copy()


def check(layer: int, view: Any) -> int:
    """Verify every row of a view; returns its bytes."""
    keys, values = view.keys, view.values
    assert np.array_equal(keys, values), "K and V of different updates"
    tags = keys[0, :, 0, 0]
    assert np.array_equal(keys[0], np.broadcast_to(tags[:, None, None], keys[0].shape)), "torn"
    whole = tags.astype(np.int64)
    assert (whole % LAYERS == layer).all(), "a row of another layer"
    assert len(view.positions) == len(tags), "positions and rows disagree"
    ring = view.positions >= view_sinks
    for writer in range(WRITERS):
        numbers = (whole[ring] // LAYERS)[(whole[ring] // LAYERS) % WRITERS == writer] // WRITERS
        steps = np.diff(numbers) % ROWS_PER_WRITER
        assert ((steps > 0) & (steps < ROWS_PER_WRITER // 2)).all(), "rows out of order"
    return int(keys.nbytes + values.nbytes)


view_sinks = 2


class Stress:
    """The caches, the threads and the clock."""

    def __init__(self, minutes: float) -> None:
        shape = {"layers": LAYERS, "kv_heads": HEADS, "head_dim": DIM}
        self.caches = [
            KVCache(strategy=Circular(64, view_sinks, 8), **shape),  # type: ignore[arg-type]
            KVCache(strategy=Circular(2048, 0, 4), **shape),  # type: ignore[arg-type]
            KVCache(strategy=Append(512), **shape),  # type: ignore[arg-type]
        ]
        self.until = time.monotonic() + 60 * minutes
        self.errors: list[BaseException] = []
        self.tallies = {"writer": [Tally() for _ in range(WRITERS)]}
        self.tallies["reader"] = [Tally() for _ in range(READERS)]

    def going(self) -> bool:
        return time.monotonic() < self.until and not self.errors

    def guarded(self, work: Callable[[int, Tally], None], number: int, tally: Tally) -> None:
        try:
            work(number, tally)
        except BaseException as error:
            self.errors.append(error)
            raise

    def write(self, writer: int, tally: Tally) -> None:
        """Updates of one token and of many; now and then everything is cut back."""
        dice, number = np.random.default_rng(writer), 0
        while self.going():
            cache = self.caches[dice.integers(3)]
            layer = int(dice.integers(LAYERS))
            count = int(dice.choice([1, 1, 1, 1, 3, 40, 600]))
            rows = tagged(layer, writer, number, count)
            try:
                tally.timed(lambda c=cache, n=layer, r=rows: c.update(n, r, r))
                tally.nbytes += 2 * rows.nbytes
                number += count
            except CapacityError:
                self.cut_back(cache, tally)
            if dice.random() < 0.01:
                self.cut_back(cache, tally)

    def cut_back(self, cache: KVCache, tally: Tally) -> None:
        try:
            tally.timed(lambda: cache.truncate(max(0, cache.seq_len - 2)))
        except (EvictedError, PositionError):
            tally.timed(cache.reset)

    def read(self, reader: int, tally: Tally) -> None:
        """Readings, views that may be stale by the time they are used, and copies of everything."""
        dice = np.random.default_rng(1000 + reader)
        while self.going():
            cache, kind = self.caches[dice.integers(3)], dice.random()
            layer = int(dice.integers(LAYERS))
            if kind < 0.9:
                tally.nbytes += tally.timed(lambda c=cache, n=layer: self.look(c, n))
            elif kind < 0.99:
                tally.nbytes += tally.timed(lambda c=cache, n=layer: self.glance(c, n))
            else:
                copy = tally.timed(cache.copy)
                copy.check()
                tally.nbytes += sum(check(n, copy.read(n)) for n in range(LAYERS))

    def look(self, cache: KVCache, layer: int) -> int:
        with cache.reading(layer) as view:
            return check(layer, view)

    def glance(self, cache: KVCache, layer: int) -> int:
        try:
            return check(layer, cache.read(layer).copy())
        except Stale:
            return 0

    def run(self) -> None:
        threads = [
            threading.Thread(target=self.guarded, args=(work, n, tally), daemon=True)
            for work, kind in ((self.write, "writer"), (self.read, "reader"))
            for n, tally in enumerate(self.tallies[kind])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self.until - time.monotonic()) + 60)
            if thread.is_alive():
                raise SystemExit("a thread waits for ever")
        for cache in self.caches:
            cache.check()

    def told(self) -> str:
        lines = []
        for kind, tallies in self.tallies.items():
            operations = sum(tally.operations for tally in tallies)
            gigabytes = sum(tally.nbytes for tally in tallies) / 1e9
            longest = max(tally.longest_seconds for tally in tallies)
            lines.append(
                f"{len(tallies)} {kind}s: {operations:,} operations, {gigabytes:,.2f} GB, longest"
                f" wait of a {kind} {longest * 1e3:,.0f} ms"
            )
        return "\n".join(lines)


def main() -> None:
    """Run, and print what was done; the exit code says whether all went well."""
    minutes = float(os.environ.get("MINUTES") or 10)
    stress = Stress(minutes)
    print(f"{WRITERS + READERS} threads, {minutes:g} minutes", flush=True)
    try:
        stress.run()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    print(stress.told())
    if stress.errors:
        sys.exit(f"failed: {stress.errors[0]!r}")
    print("every row was what its writer wrote")


if __name__ == "__main__":
    main()
