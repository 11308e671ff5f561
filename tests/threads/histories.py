"""Histories: random operations by several threads on one small cache, as they were seen."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from kvring import FIFO, LRU, Append, Circular, KVCache, Replace
from kvring.reference import ReferenceCache

from .linearizing import Call
from .operations import Operation, as_arrays
from .people import all_at_once
from .points import NoLock, Pauses, PointLock, instrument, waits_pass

LAYERS = 2
MODES = (Circular(2, 1, 1), Circular(1, 0, 2), Append(7), Replace(3))
EVICTING = (Append(5, eviction=FIFO(), sink_tokens=1), Append(5, eviction=LRU()))
VERBS = {
    "update": 8,
    "read": 3,
    "reading": 3,
    "positions": 2,
    "truncate": 2,
    "reset": 1,
    "copy": 1,
    "total": 1,
    "resize": 1,
}
EVICTING_VERBS = VERBS | {"touch": 2, "pin": 1, "unpin": 1, "evict": 2}


def started(
    mode: object, kind: type[KVCache] = KVCache, tokens: int = 4
) -> tuple[KVCache, ReferenceCache]:
    """A cache and its reference, with some tokens each."""
    cache = kind(layers=LAYERS, kv_heads=1, head_dim=1, strategy=mode)  # type: ignore[arg-type]
    reference = ReferenceCache(cache.config)
    for layer in range(LAYERS):
        for number in range(tokens):
            tag = 1000 * (layer + 1) + number
            cache.update(layer, *as_arrays((tag,)))
            reference.update(layer, [tag])
    return cache, reference


def verbs_for(mode: object, lock: type[PointLock]) -> dict[str, int]:
    """What may be drawn, and how often.

    Where nothing locks, a resize frees memory that a kernel is writing to (without jit a kernel can
    be interrupted anywhere): that is the end of the process, and no finding.
    """
    verbs = EVICTING_VERBS if mode in EVICTING else VERBS
    return {verb: often for verb, often in verbs.items() if verb != "resize" or lock is not NoLock}


def drawn(
    dice: random.Random, tags: Iterator[int], mode: object, verbs: dict[str, int]
) -> Operation:
    """A random operation, whose rows have numbers that no other has."""
    verb = dice.choices(list(verbs), list(verbs.values()))[0]
    layer, number = dice.randrange(LAYERS), dice.randrange(7)
    counts = {"update": dice.choice((1, 1, 1, 1, 2, 3)), "total": dice.choice((0, 1, 2))}
    rows = tuple(next(tags) for _ in range(counts.get(verb, 0)))
    if verb == "total" and isinstance(mode, Replace):
        number = len(rows)
    return Operation(verb, layer, number, rows)


def recorded(
    seed: int,
    mode: object,
    threads: int,
    calls: int,
    kind: type[KVCache] = KVCache,
    lock: type[PointLock] = PointLock,
) -> tuple[ReferenceCache, list[Call]]:
    """What `threads` threads saw of `calls` calls each, and the reference they started from."""
    dice, tags, clock = random.Random(seed), count(1), count()
    verbs = verbs_for(mode, lock)
    cache, reference = started(mode, kind)
    pauses = Pauses(seed)
    instrument(cache, pauses, lock)
    cache.points = pauses  # type: ignore[attr-defined]
    history: list[Call] = []

    def working(thread: int) -> Callable[[], None]:
        todo = [drawn(dice, tags, mode, verbs) for _ in range(calls)]

        def work() -> None:
            for operation in todo:
                pauses.at()
                began = next(clock)
                result = operation.on_cache(cache)
                history.append(Call(thread, operation, began, next(clock), result))

        return work

    with waits_pass(pauses), frequent_switches():
        all_at_once([working(thread) for thread in range(threads)])
    cache.check()
    return reference, history


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Have the interpreter change threads every few bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
