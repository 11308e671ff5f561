"""What threads cost: the lock, two prefills at once, a busy neighbour."""

from __future__ import annotations

import inspect
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from statistics import median
from time import perf_counter

import numpy as np

from kvring import Append, Circular, KVCache
from kvring.bench import Contestant, measure
from kvring.cache import kv_cache

__all__ = ["threads"]

TOKENS = 2048
SHAPE = (8, 128)


def threads() -> str:
    """The lock, two threads that prefill, one beside a busy thread."""
    lines = [
        "\n## Threads\n",
        "*The lock*: a one-token update of thirty layers against the same text without its lock",
        "and its test for readers. *Two prefills*: two threads that each prefill a cache of their",
        "own, against two threads of `np.copyto` on the same bytes. *A busy neighbour*: the median",
        "one-token update beside a thread that computes in pure Python, against alone.\n",
        "| what | shape | ratio | limit |",
        "|---|---|---|---|",
    ]
    for shape in ((8, 128), (3, 64)):
        lines.append(f"| the lock | {_axes(shape)} | {lock_ratio(shape):.2f} | 1.30 |")
    lines.append(f"| two prefills of 2,048 | {_axes(SHAPE)} | {prefill_ratio():.2f} | 1.10 |")
    for shape in ((8, 128), (3, 64)):
        lines.append(f"| a busy neighbour | {_axes(shape)} | {neighbour_ratio(shape):.2f} | 1.50 |")
    return "\n".join(lines) + "\n"


def lock_ratio(shape: tuple[int, int], rounds: int = 200) -> float:
    """A one-token update with the lock against one without."""
    contestants = {}
    row = np.random.default_rng(0).random((1, 1, *shape), np.float32)
    for name, kind in (("locked", KVCache), ("free", unlocked_cache())):
        cache = kind(layers=30, kv_heads=shape[0], head_dim=shape[1], strategy=Circular(256))
        contestants[name] = Contestant(_decode(cache, row, 20))
    return measure(contestants, rounds).ratio("locked", to="free")


def unlocked_cache() -> type[KVCache]:
    """KVCache whose update takes no lock and asks for no readers; otherwise the same text."""
    text = textwrap.dedent(inspect.getsource(KVCache.update))
    for locked, free in (("with lock:", "if True:"), ("if readers or (", "if (")):
        assert text.count(locked) == 1, "the update that is measured looks different now"
        text = text.replace(locked, free)
    names = dict(vars(kv_cache))
    exec(compile(text, "update without a lock", "exec"), names)
    return type("UnlockedCache", (KVCache,), {"update": names["update"]})


def _decode(cache: KVCache, row: np.ndarray, steps: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(steps):
            for layer in range(cache.layers):
                cache.update(layer, row, row, order="physical")

    return run


def prefill_ratio(rounds: int = 40) -> float:
    """Two threads that prefill two caches against two that copy the same bytes."""
    rows = np.random.default_rng(0).random((2, 4, 1, TOKENS, *SHAPE), np.float32)
    caches = [KVCache(layers=4, kv_heads=8, head_dim=128, strategy=Append(TOKENS)) for _ in "ab"]
    targets = np.zeros((2, 2, *rows.shape[1:]), np.float32)

    def prefill(number: int) -> None:
        for layer in range(4):
            caches[number].update(layer, rows[number, layer], rows[number, layer])

    def copy(number: int) -> None:
        for layer in range(4):
            for target in targets[number]:
                np.copyto(target[layer], rows[number, layer])

    with _two_workers() as both:
        contestants = {
            "prefill": Contestant(lambda: both(prefill), lambda: [c.reset() for c in caches]),
            "copyto": Contestant(lambda: both(copy)),
        }
        return measure(contestants, rounds).ratio("prefill", to="copyto")


@contextmanager
def _two_workers() -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Two threads that wait for work: starting them is not what is measured."""
    start, end = threading.Barrier(3), threading.Barrier(3)
    work: list[Callable[[int], None]] = []

    def serve(number: int) -> None:
        while True:
            start.wait()
            if not work:
                return
            work[0](number)
            end.wait()

    def both(job: Callable[[int], None]) -> None:
        work[:] = [job]
        start.wait()
        end.wait()

    workers = [threading.Thread(target=serve, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    try:
        yield both
    finally:
        work.clear()
        start.wait()
        for worker in workers:
            worker.join()


def neighbour_ratio(shape: tuple[int, int], updates: int = 4000) -> float:
    """The median of single updates beside a busy Python thread, against alone; rounds in turn."""
    row = np.random.default_rng(0).random((1, 1, *shape), np.float32)
    cache = KVCache(layers=1, kv_heads=shape[0], head_dim=shape[1], strategy=Circular(256))
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(10):
        for busy in (False, True) if number % 2 else (True, False):
            with _busy_thread() if busy else nullcontext():
                times[busy] += _single_updates(cache, row, updates // 10)
    return median(times[True]) / median(times[False])


def _single_updates(cache: KVCache, row: np.ndarray, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        started = perf_counter()
        cache.update(0, row, row, order="physical")
        seconds.append(perf_counter() - started)
    return seconds


@contextmanager
def _busy_thread() -> Iterator[None]:
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(1000):
                number = (number * 5 + 1) % 1_000_003

    neighbour = threading.Thread(target=compute)
    neighbour.start()
    try:
        yield
    finally:
        stop.set()
        neighbour.join()


def _axes(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
