"""Loading: the same cache, bit for bit, that goes on as the saved one would have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvring import LRU, Append, Circular, KVCache, Replace, SnapshotError, Stats
from tests.cache.saved import (
    DTYPES,
    STATES,
    advance,
    assert_goes_on_the_same,
    assert_same,
    build,
    in_every_mode,
)
from tests.policies import Bookkeeper, Tova
from tests.support import ROOT, poison


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.safetensors"


def reloaded(cache: KVCache, path: Path, **options: Any) -> KVCache:
    """What is loaded after every slot that is not to be saved has been poisoned."""
    poison(cache)
    cache.save(path)
    return KVCache.load(path, **options)


@pytest.mark.parametrize("of", STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_cache_in_any_state_comes_back_and_goes_on_the_same(
    path: Path, of: Callable[..., KVCache], layout: Any, batch: int
) -> None:
    cache = of(layout=layout, batch=batch)
    twin = reloaded(cache, path)
    assert_same(cache, twin)
    assert_goes_on_the_same(cache, twin)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_bit_for_bit(path: Path, dtype: str) -> None:
    cache = in_every_mode(dtype=dtype, batch=2)
    twin = reloaded(cache, path)
    assert twin.dtype == cache.dtype
    assert_same(cache, twin)
    assert_goes_on_the_same(cache, twin)


def test_every_bit_pattern_of_a_half_comes_back(path: Path) -> None:
    patterns = np.arange(1 << 16, dtype=np.uint16)  # all NaN payloads and both zeros among them
    for dtype in ("float16", "bfloat16"):
        cache = build(Append(64), kv_heads=8, head_dim=128, value_dim=128, dtype=dtype)
        rows = patterns.view(cache.dtype).reshape(1, 64, 8, 128)
        cache.update(0, rows, rows[:, ::-1].copy())
        keys, values = reloaded(cache, path).read(0)
        assert keys.tobytes() == patterns.tobytes()
        assert values.tobytes() == rows[:, ::-1].tobytes()


def test_what_was_saved_twice_is_as_what_was_saved_once(path: Path) -> None:
    for of in STATES.values():
        cache = of()
        once = reloaded(cache, path)
        first = path.read_bytes()
        assert_same(cache, reloaded(once, path))
        assert path.read_bytes() == first


def test_stats_start_at_0(path: Path) -> None:
    twin = reloaded(in_every_mode(), path)
    assert twin.stats == Stats(0, 0, 0, 0, 0)
    advance(twin, 1)
    assert twin.stats.tokens_written == twin.layers


def test_layers_in_step_share_one_plan_again(path: Path) -> None:
    cache = build(*[Circular(4)] * 3)
    advance(cache, 6)
    twin = reloaded(cache, path)
    assert len({id(ring.state) for ring in twin.rings}) == 1


def test_views_made_before_saving_say_nothing_of_the_loaded_cache(path: Path) -> None:
    cache = in_every_mode()
    view = cache.read(0)
    reloaded(cache, path).reset()
    view.mask()  # not stale: the saved cache is as it was


@pytest.mark.parametrize("huge_pages", [False, True])
def test_huge_pages_are_asked_for_again(path: Path, huge_pages: bool) -> None:
    cache = build(Append(100), huge_pages=huge_pages)
    advance(cache, 3)
    assert_same(cache, reloaded(cache, path))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_few_rows_take_no_huge_pages_and_more_rows_may(path: Path) -> None:
    small = path.with_name("small")
    build(Append(9)).save(small)
    cache = build(*[Append(10**6)] * 32, huge_pages=True, kv_heads=4, head_dim=64, value_dim=64)
    advance(cache, 1)
    cache.save(path)
    assert resident_growth(small, path) < 8_000_000  # of 64 planes, one page of 2 MiB each: 134 MB
    twin = KVCache.load(path)
    assert twin._huge_pages
    assert_same(cache, twin)


def test_a_subclass_loads_itself(path: Path) -> None:
    class Mine(KVCache):
        pass

    in_every_mode().save(path)
    assert type(Mine.load(path)) is Mine


def test_long_rows_and_short_ones_take_different_ways_and_both_come_back(path: Path) -> None:
    rng = np.random.default_rng(0)
    for kv_heads, head_dim, tokens, batch in ((8, 128, 700, 1), (2, 8, 3000, 5), (64, 512, 3, 2)):
        for layout in ("BSHD", "BHSD"):
            modes = Circular(tokens - tokens // 3, 1), Append(tokens, LRU())
            sizes = {"kv_heads": kv_heads, "head_dim": head_dim, "value_dim": head_dim}
            cache = build(*modes, **sizes, layout=layout, batch=batch)
            axes = (tokens, kv_heads) if layout == "BSHD" else (kv_heads, tokens)
            rows = rng.standard_normal((2, batch, *axes, head_dim), dtype=np.float32)
            for layer in range(2):
                cache.update(layer, *rows)
            cache.evict(rng.choice(tokens, tokens // 4, replace=False).tolist())
            assert_same(cache, reloaded(cache, path))


# Policies of one's own


def with_notebooks(batch: int = 2) -> KVCache:
    cache = build(Append(5, Bookkeeper()), Append(9), Append(4, Bookkeeper(), 1), batch=batch)
    advance(cache, 8)
    cache.touch(0, cache.positions(0)[:2])
    cache.touch(0, cache.positions(0)[1:3])
    return cache


def test_a_policy_of_ones_own_goes_on_from_what_it_said_of_itself(path: Path) -> None:
    cache = with_notebooks()
    given: tuple[Any, ...] = (
        cache.config.layers[0].strategy.eviction,  # type: ignore[union-attr]
        {0: Bookkeeper(), 2: Bookkeeper()},
        Bookkeeper(),
    )
    for policies in given:
        twin = reloaded(cache, path, policies=policies)
        twin.check()
        for batch_row in range(2):
            mine, its = (c._strategies[0].tracker._policies for c in (cache, twin))  # type: ignore[attr-defined]
            assert mine[batch_row].touches == its[batch_row].touches
            assert mine[batch_row] is not its[batch_row]
    assert advance(cache, 6) == advance(twin, 6)


def test_a_policy_that_cannot_say_what_it_remembers_cannot_be_saved(path: Path) -> None:
    cache = build(Append(5), Append(5, Tova()))
    with pytest.raises(SnapshotError, match=r"layer 1: .*no method to_bytes\(\).*policies="):
        cache.save(path)
    assert not path.exists()
    cache.check()


def test_a_policy_that_says_no_bytes_cannot_be_saved(path: Path) -> None:
    class Wrong(Bookkeeper):
        def to_bytes(self) -> bytes:
            return "text"  # type: ignore[return-value]

    with pytest.raises(SnapshotError, match="expected bytes, got"):
        build(Append(5, Wrong())).save(path)


def test_a_policy_must_be_able_to_hear_what_another_one_said(path: Path) -> None:
    with_notebooks().save(path)

    class Bookkeeper(Tova):  # of the same name
        pass

    with pytest.raises(SnapshotError, match=r"cannot go on .* no method from_bytes\(data\)"):
        KVCache.load(path, policies=Bookkeeper())


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (None, r"layer 0 has a policy of your own, 'Bookkeeper'; .* use load\(path, policies="),
        ({0: Bookkeeper()}, "layer 2 has a policy of your own"),
        (Tova(), "saved with a policy of class 'Bookkeeper', got"),
        ({0: Bookkeeper(), 2: LRU()}, "saved with a policy of class 'Bookkeeper', got LRU"),
    ],
)
def test_a_policy_of_ones_own_must_be_given_again(path: Path, policies: Any, message: str) -> None:
    with_notebooks().save(path)
    with pytest.raises(SnapshotError, match=message):
        KVCache.load(path, policies=policies)


# Memory

RESIDENT = """
import os, resource, sys
import numpy as np
from kvring import KVCache
from pathlib import Path

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

KVCache.load(sys.argv[1])  # whatever is imported and allocated once
most = before = resident()

def look(done, total):
    global most
    most = max(most, resident())

try:
    cache = KVCache.load(sys.argv[2], progress=look)
except ValueError as error:
    print(error, file=sys.stderr)
print(max(most, resident()) - before)
"""


def resident_growth(small: Path, path: Path) -> int:
    """Bytes by which a process grows at most while it loads a file."""
    command = [sys.executable, "-c", RESIDENT, str(small), str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("mode", [Append(9000), Replace(6000), Circular(5000), Append(5000, LRU())])
def test_loading_takes_less_than_twice_the_file(path: Path, layout: Any, mode: Any) -> None:
    small = path.with_name("small")
    build(mode).save(small)
    cache = build(mode, mode, kv_heads=4, head_dim=96, value_dim=96, layout=layout)
    axes = (4100, 4) if layout == "BSHD" else (4, 4100)
    rows = np.ones((1, *axes, 96), np.float32)
    for layer in range(2):
        cache.update(layer, rows, rows)
        if cache.room is None or isinstance(mode, Replace) or mode.eviction:
            cache.update(layer, rows, rows)  # round the ring, or over rows that give way
    cache.save(path)
    assert path.stat().st_size > 20_000_000
    assert resident_growth(small, path) < 1.3 * path.stat().st_size
