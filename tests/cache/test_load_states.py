"""Counters, positions and memories that no cache could have, in files that are otherwise whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvring import KVCache, SnapshotError
from tests.cache.forging import Forged
from tests.cache.saved import (
    MODES,
    advance,
    build,
    cut_back,
    in_every_mode,
    ragged,
    rearranged,
    with_holes,
)
from tests.often import often

# The layers of `in_every_mode`, each after 11 tokens; position 10 is pinned.
APPEND, REPLACE, SINKS, RING, FIFO_, LRU_, LRU_SINK, SCORES = range(8)
ENORMOUS = 10**17


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("saved") / "file"
    found = {}
    for of in (in_every_mode, cut_back, with_holes, ragged, rearranged):
        of().save(path)
        found[of.__name__] = path.read_bytes()
    return found


def test_the_numbers_below_are_those_of_the_file() -> None:
    cache = in_every_mode()
    assert [ring.state[:3] for ring in cache.rings] == [
        *[(11, 11, 0), (1, 1, 0), (11, 7, 5), (11, 5, 1)],
        *[(11, 7, 0)] * 4,
    ]
    assert [ring.state.truncate_floor for ring in cache.rings] == [0] * 4 + [11] * 4
    assert len(MODES) == 8


WRONG: dict[str, tuple[Callable[[Forged], object], str]] = {
    "negative seq_len": (lambda f: f.set("seq_lens", RING, -1), "seq_lens: a negative number"),
    "negative epoch": (lambda f: f.set("epochs", RING, -1), "epochs: a negative number"),
    "more tokens": (lambda f: f.set("seq_lens", APPEND, 12), "a position is missing"),
    "fewer tokens": (lambda f: f.set("seq_lens", APPEND, 10), "more rows than tokens"),
    "enormous": (lambda f: f.set("seq_lens", RING, ENORMOUS), "oldest row|other positions"),
    "too many": (lambda f: f.set("seq_lens", RING, 2**63 - 1), "seq_lens: too large a number"),
    "a late clock": (lambda f: f.set("clocks", LRU_, 2**63 - 1), "clocks: too large a number"),
    "other length": (lambda f: f.set("lengths", APPEND, 10), "header: expected"),
    "enormous length": (lambda f: f.set("lengths", APPEND, ENORMOUS), "header: expected"),
    "head of append": (lambda f: f.set("head_slots", APPEND, 1), "head is not slot 0"),
    "head of a ring": (lambda f: f.set("head_slots", RING, 2), "oldest row .* is in slot 1"),
    "head behind": (lambda f: f.set("head_slots", RING, 99), "oldest row .* is in slot 1"),
    "head of a policy": (lambda f: f.set("head_slots", LRU_, 1), "head is not slot 0"),
    "floor without policy": (lambda f: f.set("truncate_floors", RING, 1), "without eviction"),
    "floor above": (lambda f: f.set("truncate_floors", LRU_, 12), "truncate_floor above seq_len"),
    "floor of more rows": (lambda f: f.set("truncate_floors", LRU_, 3), "recent rows are gone"),
    "no floor": (lambda f: f.set("truncate_floors", LRU_, 0), "slots are not positions"),
    "replaced never": (lambda f: f.set("epochs", REPLACE, 0), "no cache is like this"),
    "a clock of none": (lambda f: f.set("clocks", FIFO_, 3), "the policy remembers what cannot be"),
    "a clock of a ring": (lambda f: f.set("clocks", RING, 3), "clocks: a layer without a clock"),
    "a clock behind": (lambda f: f.set("clocks", LRU_, 2), "the policy remembers what cannot be"),
    "a clock at 0": (lambda f: f.set("clocks", LRU_, 0), "the policy remembers what cannot be"),
    "pins of a ring": (lambda f: f.set("pin_counts", RING, 1), "pin_counts: a layer without pins"),
    "more pins": (lambda f: f.set("pin_counts", LRU_, 2), "header: expected"),
    "bytes of a policy": (lambda f: f.set("policy_nbytes", LRU_, 2), "policy_nbytes: a layer"),
    "positions of append": (lambda f: f.set("layer.0.positions", 3, 4), "other positions"),
    "positions of a ring": (lambda f: f.set("layer.3.positions", 0, 5), "other positions"),
    "a position twice": (lambda f: f.set("layer.5.positions", 0, 10), "wrong positions"),
    "a position unseen": (lambda f: f.set("layer.5.positions", 0, 11), "wrong positions"),
    "a negative position": (lambda f: f.set("layer.5.positions", 0, -1), "wrong positions"),
    "a sink less": (lambda f: f.set("layer.4.positions", 0, 2), "sinks are gone"),
    "a slot twice": (lambda f: f.set("layer.5.slots", 1, 0), "wrong slots"),
    "a slot behind": (lambda f: f.set("layer.5.slots", 6, 7), "wrong slots"),
    "a negative slot": (lambda f: f.set("layer.5.slots", 0, -1), "wrong slots"),
    "slots descending": (lambda f: f.put("layer.5.slots", np.arange(7)[::-1]), "wrong slots"),
    "a pin that is gone": (lambda f: f.set("layer.5.pins", 0, gone(f, 5)), "wrong pins"),
    "a sink pinned": (lambda f: f.set("layer.4.pins", 0, 0), "wrong pins"),
    "used in future": (lambda f: f.set("layer.5.last_used", 0, 10**6), "the policy remembers"),
    "used before time": (lambda f: f.set("layer.5.last_used", 0, 0), "the policy remembers"),
    "a negative score": (lambda f: f.set("layer.7.scores", 0, -0.1), "the policy remembers"),
    "no number": (lambda f: f.set("layer.7.scores", 0, np.nan), "the policy remembers"),
}


def gone(forged: Forged, layer: int) -> int:
    """A position that gave way."""
    return min(set(range(11)) - set(forged.numbers(f"layer.{layer}.positions").tolist()))


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(SnapshotError) as caught:
        KVCache.load(path)
    return str(caught.value)


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_states_that_no_cache_has_are_refused(
    tmp_path: Path,
    saved: dict[str, bytes],
    change: Callable[[Forged], object],
    message: str,
) -> None:
    forged = Forged(saved["in_every_mode"])
    change(forged)
    said = refused(tmp_path / "file", forged.signed())
    assert re.search(message, said), said


def test_a_ring_of_no_truncate_has_lost_no_row(tmp_path: Path, saved: dict[str, bytes]) -> None:
    forged = Forged(saved["cut_back"])
    assert forged.numbers("lengths")[2] < forged.numbers("seq_lens")[2]
    forged.set("epochs", 2, 0)
    assert "rows are missing" in refused(tmp_path / "file", forged.signed())


def test_rows_of_an_emptied_layer_cannot_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    cache = build(MODES[5])
    advance(cache, 3)
    cache.evict([0, 1, 2])
    cache.save(path)
    KVCache.load(path).check()
    forged = Forged(path.read_bytes())
    forged.set("truncate_floors", 0, 2)
    assert "no cache is like this" in refused(path, forged.signed())


def test_whatever_numbers_stand_there_a_cache_that_loads_holds_all_invariants(
    tmp_path: Path, saved: dict[str, bytes]
) -> None:
    rng = np.random.default_rng(7)
    path = tmp_path / "file"
    outcomes = {True: 0, False: 0}
    for _ in range(often(750, at_least=300)):
        forged = Forged(saved[str(rng.choice(list(saved)))])
        names = [name for name in forged.data if not name.endswith(("s.keys", "values", "sums"))]
        names = [n for n in names if not n.endswith("keys") and forged.data[n]]
        for _ in range(rng.integers(1, 3)):
            name = str(rng.choice(names))
            numbers = forged.numbers(name)
            at = rng.integers(len(numbers))
            numbers[at] = nearby(rng, numbers[at])
            forged.put(name, numbers)
        path.write_bytes(forged.signed())
        try:
            cache = KVCache.load(path)
        except SnapshotError:
            outcomes[False] += 1
            continue
        outcomes[True] += 1
        cache.check()
        advance(cache, 3, 5)
        cache.check()
    assert min(outcomes.values()) > 20, outcomes


def nearby(rng: np.random.Generator, number: Any) -> Any:
    """Another number: a small step away most of the time."""
    return number + rng.choice([-2, -1, 1, 2, 3, 100]) if rng.random() < 0.9 else rng.integers(12)
