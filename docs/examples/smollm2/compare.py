"""Caches and ways to attend generate side by side, and a table says what each of them cost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import numpy as np
from attention import Attention
from caches import Cache
from model import Model, Timings

HEADER = (
    "                                        cache ms  attention ms                   first token\n"
    "                            tokens/s   per token     per token    cache bytes   that differs"
)


@dataclass
class Contestant:
    """One cache, the text generated through it, and the time every step took.

    Attributes
    ----------
    name : str
        What the table calls it.
    cache : Cache
        The cache.
    attention : Attention
        How the model looks at its rows.
    next_token : int
        The token that the next step feeds.
    token_ids : list of int
        The tokens generated so far.
    finished : bool
        Whether the model has ended the text.
    """

    name: str
    cache: Cache
    attention: Attention
    next_token: int = 0
    token_ids: list[int] = field(default_factory=list)
    finished: bool = False
    step_seconds: list[float] = field(default_factory=list)
    timings: list[Timings] = field(default_factory=list)

    def step(self, model: Model, stop_tokens: set[int]) -> None:
        """Generate one token: the likeliest."""
        timings = Timings()
        started = perf_counter()
        hidden = model.forward([self.next_token], self.cache, self.attention, timings)
        self.next_token = int(np.argmax(model.logits(hidden)[-1]))
        self.step_seconds.append(perf_counter() - started)
        self.timings.append(timings)
        self.token_ids.append(self.next_token)
        self.finished = self.next_token in stop_tokens

    def table_row(self, rival: "Contestant") -> str:
        """Return this contestant's row of the table; times are medians over its steps."""
        cache_ms = median(timings.cache_seconds for timings in self.timings) * 1e3
        attention_ms = median(timings.attention_seconds for timings in self.timings) * 1e3
        differs = first_difference(self.token_ids, rival.token_ids)
        return (
            f"{self.name:26}{1 / median(self.step_seconds):10.1f}{cache_ms:12.3f}"
            f"{attention_ms:14.3f}{self.cache.nbytes:15,}"
            f"{'-' if differs is None else differs:>15}"
        )


def first_difference(ours: list[int], theirs: list[int]) -> int | None:
    """Return the number, from 1, of the first token that differs, or None.

    Examples
    --------
    >>> first_difference([5, 6, 7], [5, 6, 8])
    3
    >>> first_difference([5, 6], [5, 6]) is None
    True
    """
    for number in range(max(len(ours), len(theirs))):
        if ours[number : number + 1] != theirs[number : number + 1]:
            return number + 1
    return None


def take_turns(
    contestants: list[Contestant],
    model: Model,
    tokens: int,
    stop_tokens: set[int],
    show: Callable[[int], None],
) -> None:
    """Generate with all contestants in turn, one token each, until all have ended.

    Noise on the machine then falls on all of them alike, and as the first turn rotates, none of
    them always runs behind the same other one.

    Parameters
    ----------
    contestants : list of Contestant
        Who takes part, with the prompt in their caches.
    model : Model
        The model that all of them use.
    tokens : int
        The most tokens that each one generates.
    stop_tokens : set of int
        Tokens that end the text.
    show : callable
        Takes every token of the first contestant as it comes.
    """
    for turn in range(tokens):
        for place in range(len(contestants)):
            contestant = contestants[(turn + place) % len(contestants)]
            if not contestant.finished:
                contestant.step(model, stop_tokens)
                if contestant is contestants[0]:
                    show(contestant.next_token)


def table(contestants: list[Contestant], rival: Contestant) -> str:
    """Return the table of all contestants as text, at most 100 characters wide."""
    return "\n".join([HEADER, *(contestant.table_row(rival) for contestant in contestants)])


def times_as_fast(fast: Contestant, slow: Contestant) -> float:
    """Return how many times as many tokens `fast` made in the same time: the median over turns."""
    pairs = zip(slow.step_seconds, fast.step_seconds, strict=False)
    return median(theirs / ours for theirs, ours in pairs)
