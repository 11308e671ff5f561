"""What concerns all layers at once: all locks held, all states swapped in one assignment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from .checks import checked_tokens
from .config import CacheConfig
from .errors import PositionError
from .facts import CacheFacts
from .invariants import check_cache
from .plan import Move
from .rows import State
from .strategy import Strategy

__all__ = ["WholeCache"]

Result = TypeVar("Result")


class WholeCache(CacheFacts):
    """The verbs of :class:`kvring.KVCache` that concern every layer."""

    # The current move of each layer, shared with the rings.
    _ledger: list[Move]
    _huge_pages: bool

    @abstractmethod
    def _build(self, config: CacheConfig, huge_pages: bool) -> None:
        """Make rings and everything else that a configuration asks for, empty."""

    def truncate(self, seq_len: int) -> None:
        """Drop the newest tokens of all layers, so that `seq_len` remain, or of none.

        Parameters
        ----------
        seq_len : int, tokens
            What every layer's seq_len shall be. ``truncate(cache.seq_len)`` mends a step that was
            cut short between layers.

        Raises
        ------
        PositionError
            If `seq_len` is negative or above the smallest layer's. Nothing is dropped.
        EvictedError
            If the newest token that stays would miss a row of its window: in circular mode after
            the first eviction, more than ``rollback_tokens`` back. Nothing is dropped.

        Notes
        -----
        Views of all layers are stale afterwards, also when nothing had to be dropped. Cost: a few
        us per layer, no bytes move. Threads: all layers change at once.
        """
        wanted = checked_tokens("seq_len", seq_len)
        self._holding_all_locks(lambda: self._truncate(wanted))

    def reset(self) -> None:
        """Forget everything: every layer is empty, positions start again at 0.

        Notes
        -----
        Views are stale afterwards. Cost: a few us per layer; memory stays committed. Threads: all
        layers change at once.
        """
        self._holding_all_locks(
            lambda: self._settle_all(lambda strategy, _, epoch: strategy.start(epoch))
        )

    def copy(self) -> WholeCache:
        """A cache of its own with the same content, sharing no memory; its `stats` start at 0.

        Notes
        -----
        Cost: the resident rows are copied once. Threads: sees all layers at one moment.
        """
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)  # what a subclass may have added
        twin._build(self.config, self._huge_pages)
        self._holding_all_locks(lambda: twin._take_from(self))
        return twin

    def __copy__(self) -> WholeCache:
        return self.copy()  # two caches on the same rings would each believe to be alone

    def __deepcopy__(self, _: object) -> WholeCache:
        return self.copy()

    def check(self) -> None:
        """Verify every invariant of every layer; an AssertionError says which one is broken.

        Notes
        -----
        Meant for tests, where it runs after each step. Cost: proportional to the rows resident.
        """
        self._holding_all_locks(lambda: check_cache(self))

    def _truncate(self, seq_len: int) -> None:
        least = self.seq_len
        if not 0 <= seq_len <= least:
            raise PositionError(
                f"cannot truncate to {seq_len}: expected 0 to {least}, the seq_len of the shortest"
                f" layer"
            )
        self._settle_all(lambda strategy, state, epoch: strategy.truncate(state, seq_len, epoch))

    def _settle_all(self, change: Callable[[Strategy, State, int], State]) -> None:
        """Give every layer a new state, in one assignment, or none if `change` refuses one.

        All get the same epoch, and layers whose states are equal share one: the next step then
        has one plan again.
        """
        states = self._states()
        epoch = 1 + max(state.epoch for state in states)
        changed = [
            change(s, state, epoch) for s, state in zip(self._strategies, states, strict=True)
        ]
        self._ledger[:] = self._at_rest(changed)

    def _at_rest(self, states: Iterable[State]) -> list[Move]:
        shared: dict[State, Move] = {}
        return [shared.setdefault(state, Move.at_rest(state)) for state in states]

    def _take_from(self, other: WholeCache) -> None:
        states = other._states()
        for layer, state in enumerate(states):
            runs = self._strategies[layer].resident(state)
            self.rings[layer]._take_from(other.rings[layer], runs)
        self._ledger[:] = self._at_rest(states)

    def _holding_all_locks(self, action: Callable[[], Result], layer: int = 0) -> Result:
        """Run `action` while every layer is held; always taken in the same order.

        Nested `with` blocks: of all ways to hold many locks, the one that an interrupt never
        leaves half released. Eight to a call, so that deep caches need no deep stack.
        """
        if layer >= len(self.rings):
            return action()
        locks: list[AbstractContextManager[object]] = [r.lock for r in self.rings[layer:][:8]]
        locks += [nullcontext()] * (8 - len(locks))
        a, b, c, d, e, f, g, h = locks
        with a, b, c, d, e, f, g, h:
            return self._holding_all_locks(action, layer + 8)
