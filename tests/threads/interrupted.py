"""Calls on a full ring of two layers, and what an interrupt may leave of them.

After it, content is what it was before the call or what the call makes of it, and no lock is held.
A trace function can do what a signal cannot: raise between the end of a ``with lock:`` block and
the one call that gives the lock back. Such an interrupt is told from others by its bytecode
(`leaves_a_with_block`), and the lock is given back for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from kvring import Circular, KVCache, KVRingError, readers
from tests.by_hand import CALLS, rows, settle, shown
from tests.interrupts import InterruptAt

RING = Circular(3, 1, 2)
WRONG = np.zeros((1, 1, 2, 1), np.float32)
Call = Callable[[KVCache], Any]


def one_step(cache: KVCache) -> None:
    """A step of one token in both layers."""
    with cache.step():
        for layer in range(2):
            cache.update(layer, *rows(9, 10))


def failed_step(cache: KVCache) -> None:
    """A step that is taken back."""
    with cache.step():
        cache.update(0, *rows(9, 10))
        raise KVRingError


def read(cache: KVCache) -> None:
    """A reading."""
    with cache.reading(0) as view:
        shown(view)


ALLOWED: dict[str, Call] = {**CALLS, "reading": read, "step": one_step}
REFUSED: dict[str, Call] = {
    "keys of the wrong shape": lambda cache: cache.update(0, WRONG, rows(9, 10)[1]),
    "values of the wrong shape": lambda cache: cache.update(0, rows(9, 10)[0], WRONG),
    "a chunk of the wrong shape": lambda cache: cache.update(0, rows(9, 12)[0], rows(9, 11)[1]),
    "a dtype": lambda cache: cache.update(0, rows(9, 10)[0].astype("f8"), rows(9, 10)[1]),
    "a total too small": lambda cache: cache.update(0, *rows(9, 11), seq_len=1),
    "a truncate too far": lambda cache: cache.truncate(99),
    "a truncate too deep": lambda cache: cache.truncate(3),
    "a reset while reading": lambda cache: while_reading(cache, cache.reset),
    "a step taken back": failed_step,
}


def while_reading(cache: KVCache, call: Callable[[], None]) -> None:
    """Something that a thread must not do while it reads."""
    with cache.reading(0):
        call()


def filled(kind: type[KVCache] = KVCache, mode: Any = RING) -> KVCache:
    """A cache of two layers of nine tokens, full if it is a ring."""
    made: KVCache = _filled(kind, mode).copy()  # in half the time, for one at every bytecode
    grow(made, 8)  # the first update of a copy looks for its kernels, those of a user do not
    return made


@cache
def _filled(kind: type[KVCache], mode: Any) -> KVCache:
    made = kind(layers=2, kv_heads=1, head_dim=1, strategy=mode)
    for position in range(8):
        grow(made, position)
    return made


def grow(cache: KVCache, position: int) -> None:
    """One token in both layers."""
    for layer in range(2):
        cache.update(layer, *rows(position, position + 1))


def content(cache: KVCache) -> list[Any]:
    """All that a caller can see of every layer, with the poison that shows what is missing."""
    settle(cache)
    return [
        (int(cache.seq_lens[layer, 0]), resident(cache, layer), shown(cache.read(layer)))
        for layer in range(cache.layers)
    ]


def resident(cache: KVCache, layer: int) -> list[int]:
    """The positions of all resident rows, also those behind the window, read off their keys."""
    ring, slots, positions = cache.rings[layer], cache.slots(layer), cache.positions(layer)
    assert np.array_equal(ring.keys_shown[0, slots, 0, 0], positions), "a row that counts is gone"
    assert np.array_equal(ring.values_shown[0, slots, 0, 0], positions + 0.5), "and its value"
    return [int(position) for position in positions]


def content_after(call: Call, cache: KVCache) -> list[Any]:
    """What counts after `call`: a step taken back may have cost the rows behind the window."""
    if call in (one_step, failed_step):
        return [(seq_len, seen) for seq_len, _, seen in content(cache)]
    return content(cache)


def contents_around(call: Call, kind: type[KVCache] = KVCache) -> list[Any]:
    """What an interrupt may leave: the content before `call`, and after it."""
    cache = filled(kind)
    before = content_after(call, cache)
    try:
        call(cache)
    except KVRingError:
        return [before]
    return [before, content_after(call, cache)]


def fault(call: Call, allowed: list[Any], interrupt: InterruptAt, cache: KVCache) -> str:
    """What is wrong with `cache` after an interrupted `call`, in words; empty if nothing is."""
    # The way back of a step would wait for a lock that only a trace function can leave held.
    interrupt.skips_exits = call in (one_step, failed_step)
    try:
        with interrupt:
            call(cache)
    except KVRingError:
        pass
    for ring in cache.rings:
        if ring.lock.locked():
            if not interrupt.at_exit:
                return f"{interrupt.where}: a lock is held"
            ring.lock.release()
        for reading in filter(readers.owned, ring.readers.inside):
            if not interrupt.at_exit:
                return f"{interrupt.where}: a reading goes on"
            reading.release()
    if not interrupt.fired:
        return ""
    try:
        resident(cache, 0)  # before anything is poisoned
        left = content_after(call, cache)
        if left not in allowed:
            return f"{interrupt.where}: neither before nor after: {left}"
        n = int(cache.seq_lens[0, 0])
        if shown(cache.update(0, *rows(n, n + 1)))[-1] != n:
            return f"{interrupt.where}: the next update goes wrong"
    except AssertionError as error:
        return f"{interrupt.where}: {error}"
    return ""
