"""Law 8 for surgery: an interrupt leaves all layers before or all after, bytes and all.

What a policy knows is looked at by what it does: who gives way in the next updates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kvring import LRU, Append, Circular, HeavyHitter, KVCache
from tests.beside import poison_slots, resident
from tests.interrupts import InterruptAt, let_go
from tests.policies import NewestFirst
from tests.threads.sizes import FULL

MODES = {
    "append": Append(12),
    "ring": Circular(3, 1, 2),
    "ragged ring": Circular(3, 1, 2),
    "LRU": Append(5, eviction=LRU(), sink_tokens=1),
    "heavy hitters": Append(5, eviction=HeavyHitter(1)),
    "one's own": Append(5, eviction=NewestFirst()),
}
NUMBERS: dict[type, dict[str, int]] = {
    Append: {"capacity": 13},
    Circular: {"window": 2, "rollback_tokens": 4},
}
CALLS: dict[str, Callable[[KVCache], Any]] = {
    "reorder": lambda cache: cache.reorder([1, 2, 0]),
    "select": lambda cache: cache.select([2, 0]),
    "repeat": lambda cache: cache.repeat(2),
    "add": lambda cache: cache.add_batch_rows(cache),
    "resize": lambda cache: cache.resize(**NUMBERS[type(cache.config.layers[0].strategy)]),
}
# Every so many bytecodes, and by turns from another one; looking at what is left takes long.
EVERY = 1 if FULL else 85


def filled(mode: Any) -> KVCache:
    """Eight tokens in each of two layers of three batch rows, all different."""
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, batch=3, strategy=mode)
    for position in range(8):
        for layer in range(2):
            cache.update(layer, *rows(3, position))
    if mode is MODES["ragged ring"]:
        cache.truncate([8, 6, 1])
    return cache


def rows(batch: int, position: int) -> tuple[np.ndarray, np.ndarray]:
    keys = (position + 100 * np.arange(batch, dtype=np.float32)).reshape(-1, 1, 1, 1)
    return keys, keys + 0.5


def content(cache: KVCache) -> list[Any]:
    """All that can be seen, now and in the updates that follow."""
    cache.check()
    poison_slots(cache)
    twin: Any = cache.copy()
    seen: list[Any] = []
    for one in (cache, twin):
        seen.append((one.batch, one.seq_lens.tolist(), one.room, one.nbytes))
        for layer in range(2):
            view = one.read(layer)
            for batch_row in range(one.batch):
                keys, values = view.batch_row(batch_row)
                assert np.array_equal(keys + 0.5, values)
                seen.append((keys.tolist(), resident(one, layer, batch_row)[0]))
        for layer in range(2):
            for position in (8, 9):
                twin.update(layer, *rows(twin.batch, position))
    return seen


def found_after_interrupts(mode: str, name: str) -> set[str]:
    """In which states interrupts leave the cache."""
    start, call = filled(MODES[mode]), CALLS[name]
    finished: Any = start.copy()
    call(finished)
    before, after = content(copy_of(start)), content(finished)
    found = set()
    for n in range(1 + len(mode + name) % EVERY, 100_000, EVERY):
        cache = copy_of(start)
        with InterruptAt(n) as interrupt:
            call(cache)
        let_go(cache, interrupt)
        found.add(told(cache, before, after, interrupt.where))
        if not interrupt.fired:
            return found
    raise AssertionError("there is no end of it")


def copy_of(cache: KVCache) -> Any:
    return cache.copy()


def told(cache: KVCache, before: list[Any], after: list[Any], where: str) -> str:
    try:
        left = content(cache)
    except (AssertionError, LookupError, ValueError) as error:
        return f"{where}: {error}"
    names = {str(before): "before", str(after): "after"}
    return names.get(str(left), f"{where}: neither before nor after")


CASES = [(mode, name) for mode in ("ring", "LRU") for name in CALLS]
CASES += [("ragged ring", "reorder"), ("ragged ring", "resize"), ("append", "resize")]
CASES += [(mode, "reorder") for mode in ("append", "heavy hitters", "one's own")]


@pytest.mark.parametrize(("mode", "name"), CASES)
def test_an_interrupt_leaves_all_layers_before_or_all_after(mode: str, name: str) -> None:
    assert found_after_interrupts(mode, name) == {"before", "after"}


def test_changes_made_one_by_one_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = copy_of(filled(MODES["ring"]))
    before = content(finished.copy())
    CALLS["repeat"](finished)
    after, found = content(finished), set()
    for number in range(1, 4):

        def some(changes: list[Callable[[], object]], number: int = number) -> None:
            for change in changes[:number]:
                change()

        monkeypatch.setattr("kvring.cache.surgery.at_once", some)
        cache = filled(MODES["ring"])
        CALLS["repeat"](cache)
        found.add(told(cache, before, after, f"after {number}"))
    assert len(found - {"before", "after"}) == 3
