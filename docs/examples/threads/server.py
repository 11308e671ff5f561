"""The server: worker threads that take conversations from a queue, and one that watches them.

The model is shared and never written. A conversation's cache is written by its worker alone, inside
`cache.step`: whatever goes wrong in the middle of a token, all layers are back where it began. The
watcher copies caches while they are written; a copy waits for the end of the step and so holds the
same tokens in every layer.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, sleep

import numpy as np
from caches import make_cache
from model import Model
from tokenizer import TextTokenizer
from weights import ModelFile, find_model_file, read_hyperparameters, read_weights

import kvring
from kvring import Circular, KVCache

WINDOW, SINKS, ROLLBACK = 256, 4, 1  # one token can be taken back: that is what a step needs


@dataclass(frozen=True)
class Answer:
    """What a conversation came to."""

    text: str
    tokens: int


def load() -> tuple[Model, TextTokenizer]:
    """The model and its tokenizer, with kvring's kernels compiled."""
    file = ModelFile(find_model_file())
    shape = read_hyperparameters(file)
    kvring.warm_up("float32")
    return Model(shape, read_weights(file, shape.layers)), TextTokenizer(file)


class Server:
    """Answers questions, as many at a time as it has threads.

    Parameters
    ----------
    model : Model
        Shared by all threads, which only read it.
    tokenizer : TextTokenizer
    threads : int
        Conversations at a time.
    """

    def __init__(self, model: Model, tokenizer: TextTokenizer, threads: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.threads = threads
        self.copies = 0
        self._open: set[KVCache] = set()
        self._done = threading.Event()

    def answer_all(self, questions: Sequence[str], tokens: int) -> tuple[list[Answer], float]:
        """The answers to all questions, of so many tokens at most, and the seconds they took."""
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        started = perf_counter()
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                answers = list(pool.map(lambda question: self._answer(question, tokens), questions))
            return answers, perf_counter() - started
        finally:
            self._done.set()
            watcher.join()

    def _answer(self, question: str, tokens: int) -> Answer:
        """One conversation, greedily; runs in a thread of the pool."""
        strategy = Circular(window=WINDOW, sink_tokens=SINKS, rollback_tokens=ROLLBACK)
        cache = make_cache(self.model.shape, strategy)
        self._open.add(cache)
        hidden = self.model.forward(self.tokenizer.encode_chat(question), cache)
        answer: list[int] = []
        while len(answer) < tokens:
            token = int(np.argmax(self.model.logits(hidden[-1:])[0]))
            if token in self.tokenizer.stop_tokens:
                break
            answer.append(token)
            with cache.step(tokens=1):
                hidden = self.model.forward([token], cache)
        self._open.discard(cache)
        return Answer(self.tokenizer.decode(answer), len(answer))

    def _watch(self) -> None:
        """Copy open caches now and then, as somebody who saves conversations would."""
        while not self._done.is_set():
            for cache in list(self._open):
                copy = cache.copy()
                if cache.seq_len > 0 and copy.seq_len > 0:
                    copy.check()
                    self.copies += 1
            sleep(0.2)
