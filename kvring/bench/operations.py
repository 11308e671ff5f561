"""What is timed: operations on a cache. Each builds, checks, and returns a contestant."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from .interleave import Contestant
from .rival import Factory, Setup, UnsupportedError
from .rows import Feed

__all__ = ["chunk", "prefill", "read", "truncate", "update"]

# What takes fewer seconds runs several times in a round, so that the clock does not count.
SHORTEST, MOST_STEPS = 200e-6, 20
TRUNCATED = 4


def update(factory: Factory, setup: Setup, resident: int) -> Contestant:
    """One token into all layers, with so many resident; what comes back is unpacked."""
    feed = _filled(factory, setup, resident)
    feed.check(feed.take(1), feed.visible())
    keys, values = feed.rows(1)
    rival, layers = feed.rival, range(setup.layers)

    def one_step() -> None:
        for layer in layers:
            rival.update(layer, keys, values)

    return _repeated(one_step)


def chunk(factory: Factory, setup: Setup, tokens: int, notes: list[str]) -> Contestant:
    """A chunk into full rings, all layers. Rows that its early queries lack are noted."""
    assert setup.window is not None
    feed = _filled(factory, setup, setup.window + 1)
    returned = feed.take(tokens)
    newest = range(max(feed.seq_len - min(setup.window, tokens), 0), feed.seq_len)
    feed.check(returned, newest)
    lost = feed.missing(returned, feed.visible(tokens))
    if lost:
        notes.append(f"its early queries lack {len(lost)} of {len(feed.visible(tokens))} rows")
    keys, values = feed.rows(tokens)
    rival, layers = feed.rival, range(setup.layers)

    def run() -> None:
        for layer in layers:
            rival.update(layer, keys, values)

    return Contestant(run)


def prefill(factory: Factory, setup: Setup, tokens: int) -> Contestant:
    """A prompt into all layers of a new cache; building it is not timed."""
    feed = Feed(factory(setup), setup)
    keys, values = feed.rows(tokens)
    feed.check(feed.take(tokens), feed.visible())
    made: list[Any] = [feed.rival]
    layers = range(setup.layers)

    def prepare() -> None:
        made.clear()  # before the next one comes: both would need memory
        made.append(factory(setup))

    def run() -> None:
        (rival,) = made
        for layer in layers:
            rival.update(layer, keys, values)

    return Contestant(run, prepare)


def read(factory: Factory, setup: Setup, resident: int) -> Contestant:
    """Keys and values of all layers as attention would be given them."""
    feed = _filled(factory, setup, resident)
    visible = feed.visible()
    feed.check(feed.rival.read(setup.layers - 1), visible[1:])  # one cache keeps window - 1 rows
    rival, layers = feed.rival, range(setup.layers)

    def one_step() -> None:
        for layer in layers:
            rival.read(layer)

    return _repeated(one_step)


def truncate(factory: Factory, setup: Setup, resident: int) -> Contestant:
    """Drop the newest tokens of all layers, which came back before."""
    feed = _filled(factory, setup, resident)
    if not hasattr(feed.rival, "truncate"):
        raise UnsupportedError("cannot truncate")
    feed.take(TRUNCATED)
    feed.rival.truncate(resident)
    feed.seq_len = resident
    feed.check(feed.take(1), feed.visible())
    keys, values = feed.rows(TRUNCATED)
    feed.rival.truncate(resident)
    rival, layers = feed.rival, range(setup.layers)

    def prepare() -> None:
        for layer in layers:
            rival.update(layer, keys, values)

    return Contestant(lambda: rival.truncate(resident), prepare)


def _filled(factory: Factory, setup: Setup, resident: int) -> Feed:
    feed = Feed(factory(setup), setup)
    feed.take(resident)
    return feed


def _repeated(run: Callable[[], None]) -> Contestant:
    run()
    started = perf_counter()
    run()
    steps = max(1, min(MOST_STEPS, int(SHORTEST / (perf_counter() - started))))
    return Contestant(run, steps=steps)
