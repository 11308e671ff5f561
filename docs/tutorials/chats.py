"""Many chats at one server whose memory has room for a few: ``make chats``.

All chats are about one document. The model reads it once; each chat begins with its rows and then
goes its own way. Together they need ten times the pool's budget. In a second round all of them are
asked again, and each must come back bit for bit, whether it was parked or not. All the while a
thread looks at the resident memory of the process.
"""

import argparse
import os
import sys
import tempfile
import threading
import zlib
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer

from kvring import CachePool, KVCache

MIB = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Run the chats; what is wrong is one line on stderr."""
    parser = argparse.ArgumentParser(prog="docs/tutorials/chats.py")
    parser.add_argument("--budget", type=int, default=256, help="of the pool, in MiB")
    parser.add_argument("--need", type=float, default=10.0, help="of all chats, in budgets")
    parser.add_argument("--tokens", type=int, default=6, help="of each answer, at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ChatServer(options.budget * MIB, folder)
        with server.pool:
            grown, high_water = talk(server, options.need, options.tokens)
        left = os.listdir(folder)
    limit = 1.1 * options.budget * MIB
    print(f"budget {options.budget} MiB; at most {high_water / MIB:.1f} MiB committed;")
    print(f"resident memory grew by at most {grown / MIB:.1f} MiB, limit {limit / MIB:.1f} MiB")
    if grown > limit or high_water > options.budget * MIB or left:
        print(f"error: beyond a limit, or files left: {left}", file=sys.stderr)
        return 1
    return 0


def talk(server: ChatServer, need: float, tokens: int) -> tuple[int, int]:
    """Two rounds of questions; how far memory grew, and the most that the pool had committed."""
    budget = server.pool.stats.budget_bytes
    document = read_document(server, budget // 4)
    chats = [f"chat {n}" for n in range(int(need * budget / document.nbytes_used) + 1)]
    print(f"{len(chats)} chats of {document.seq_len} tokens and more each", file=sys.stderr)
    watch = Watch()
    known: dict[str, int] = {}
    for turn in (1, 2):
        for number, chat in enumerate(chats):
            if turn == 1:
                begin(server.pool, chat, document)
            elif checksum(server.pool, chat) != known[chat]:
                raise SystemExit(f"error: {chat} came back with other rows")
            question = f"How many apples are in box {(number * turn) % 20}?"
            answer = server.say(chat, question, tokens)
            known[chat] = checksum(server.pool, chat)
            show(server.pool, turn, chat, len(chats), answer)
    print("", *str(server.pool).splitlines()[:9], "...", sep="\n")
    return watch.grown(), server.pool.stats.high_water_bytes


def read_document(server: ChatServer, nbytes: int) -> KVCache:
    """A cache of what the model has read, of about so many bytes, outside the pool."""
    config = server.pool.config
    layer = config.layers[0]
    document = KVCache(
        layers=len(config.layers),
        kv_heads=layer.kv_heads,
        head_dim=layer.head_dim,
        layout=config.layout,
        strategy=layer.strategy,
    )
    lines = (f"Box {n} holds {n * 13 % 50} apples and {n * 7 % 30} pears. " for n in range(2000))
    began = perf_counter()
    while document.nbytes_used < nbytes:
        text = "".join(next(lines) for _ in range(8))
        server.model.forward(server.tokenizer.encode(text), document)
        print(f"\rreading: {document.seq_len} tokens", end="", file=sys.stderr, flush=True)
    print(f" in {perf_counter() - began:.0f} s", file=sys.stderr)
    return document


def begin(pool: CachePool, chat: str, document: KVCache) -> None:
    """Give a new chat the rows of the document, which the model need not read again."""
    with pool.lease(chat) as cache:
        for layer in range(cache.layers):
            cache.update(layer, *document.read(layer))


def checksum(pool: CachePool, chat: str) -> int:
    """Of every byte of K and V that a chat holds."""
    found = 0
    with pool.lease(chat) as cache:
        for layer in range(cache.layers):
            for rows in cache.read(layer):
                for head in rows[0]:  # a head's rows lie together: no copy
                    found = zlib.crc32(np.ascontiguousarray(head).data, found)
    return found


def show(pool: CachePool, turn: int, chat: str, count: int, answer: str) -> None:
    """A line that is written over by the next."""
    stats = pool.stats
    text = " ".join(answer.split())[:30]
    print(
        f"\rround {turn}, {chat} of {count}: {stats.bytes / MIB:5.1f} MiB committed,"
        f" {stats.spilled} parked, {stats.restores} brought back: {text:30}",
        end="",
        file=sys.stderr,
        flush=True,
    )


class Watch:
    """Looks at the resident memory of the process a hundred times a second."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._start = self._most = self._resident()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def grown(self) -> int:
        """The most it has grown since the start; ends the watch."""
        self._done.set()
        self._thread.join()
        return self._most - self._start

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self._most = max(self._most, self._resident())

    @staticmethod
    def _resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


if __name__ == "__main__":
    sys.exit(main())
