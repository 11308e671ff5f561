"""What concerns all layers at once: all locks held, all states swapped in one assignment."""

from __future__ import annotations

from _thread import RLock
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from ..checks import checked_tokens, is_list, per_batch_row_tokens
from ..config import CacheConfig
from ..errors import LockError, PositionError
from ..plan import Move
from ..readers import check_not_read_here, once_unread, owned, this_thread_reads
from ..rows import LayerState, Run, State, per_batch_row
from ..strategy import Strategy, truncated
from .facts import CacheFacts
from .invariants import check_cache

__all__ = ["WholeCache"]

Result = TypeVar("Result")
Same = TypeVar("Same", bound="WholeCache")


class WholeCache(CacheFacts):
    """The verbs of :class:`kvring.KVCache` that concern every layer."""

    # The current move of each layer, shared with the rings.
    _ledger: list[Move]
    _huge_pages: bool
    # Held by the step under way; truncate, reset and copies of other threads wait for it.
    _turn: RLock

    @abstractmethod
    def _build(self, config: CacheConfig, huge_pages: bool) -> None:
        """Make rings and everything else that a configuration asks for, empty."""

    def truncate(self, seq_len: int | Iterable[int]) -> None:
        """Drop the newest tokens of all layers, so that `seq_len` remain, or of none.

        Parameters
        ----------
        seq_len : int, or list of one per batch row, tokens
            What every layer's seq_len shall be; 0 lets a batch row start anew.
            ``truncate(cache.seq_len)`` mends a step that was cut short between layers.

        Raises
        ------
        PositionError
            If `seq_len` is negative or above the smallest layer's, in any batch row. Nothing is
            dropped, in no batch row.
        EvictedError
            If the newest token that stays would miss a row of its window: in circular mode after
            the first eviction, more than ``rollback_tokens`` back. Nothing is dropped.
        LockError
            If this thread reads a layer, or is in a step of this cache. Nothing is dropped.
        DTypeError, ShapeError
            If `seq_len` is no int or list of ints; or not one per batch row. Likewise.

        Notes
        -----
        Views of all layers are stale afterwards, also when nothing had to be dropped. Cost: a few
        us per layer, no bytes move. Threads: all layers change at once, once nobody reads any of
        them and no step is under way.
        """
        if is_list(seq_len):
            each = per_batch_row_tokens("seq_len", seq_len, self.batch)
            self._change_all(
                lambda: self._truncate(per_batch_row_tokens("seq_len", each, self.batch))
            )
        else:
            total = checked_tokens("seq_len", seq_len)
            self._change_all(lambda: self._truncate((total,) * self.batch))

    def reset(self) -> None:
        """Forget everything: every layer is empty, positions start again at 0.

        Raises
        ------
        LockError
            If this thread reads a layer, or is in a step of this cache. Nothing is forgotten.

        Notes
        -----
        Views are stale afterwards. Cost: a few us per layer; memory stays committed. Threads: as
        of `truncate`.
        """
        self._change_all(lambda: self._settle_all(lambda strategy, _, epoch: strategy.start(epoch)))

    def copy(self: Same) -> Same:
        """A cache of its own with the same content, sharing no memory; its `stats` start at 0.

        Notes
        -----
        Cost: the resident rows are copied once. Threads: sees all layers at one moment, and waits
        for the step of another thread to end, unless this thread reads: others may wait for it.
        """
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)  # what a subclass may have added
        self._copy_to(twin)
        return twin

    def __copy__(self: Same) -> Same:
        return self.copy()  # two caches on the same rings would each believe to be alone

    def __deepcopy__(self: Same, _: object) -> Same:
        return self.copy()

    def check(self) -> None:
        """Verify every invariant of every layer; an AssertionError says which one is broken.

        Notes
        -----
        Meant for tests, where it runs after each step. Cost: proportional to the rows resident.
        """
        self._holding_all_locks(lambda: check_cache(self))

    def _copy_to(self, twin: WholeCache) -> None:
        """Make `twin`, which is nothing yet, a copy."""

        def take() -> None:
            twin._build(self.config, self._huge_pages)  # which no surgery changes meanwhile
            twin._take_from(self)

        with nullcontext() if this_thread_reads() else self._turn:
            self._holding_all_locks(take)

    def _change_all(
        self, change: Callable[[], Result], what: str = "take tokens back in the middle of one"
    ) -> Result:
        """Run `change` between steps, while nobody reads and every layer is held."""
        self._check_no_step(what)
        check_not_read_here(ring.readers for ring in self.rings)  # a step may wait for it
        with self._turn:
            return self._once_unread(change)

    def _once_unread(self, change: Callable[[], Result]) -> Result:
        readers = [ring.readers for ring in self.rings]
        return once_unread(readers, self._holding_all_locks, change)

    def _check_no_step(self, what: str) -> None:
        if owned(self._turn):
            raise LockError(f"this thread is in a step of this cache and cannot {what}")

    def _truncate(self, seq_lens: Sequence[int]) -> None:
        seen = self._in_step()
        for batch_row, (wanted, most) in enumerate(zip(seq_lens, seen, strict=True)):
            if not 0 <= wanted <= most:
                which = f"batch row {batch_row} " if len({*seen, *seq_lens}) > 2 else ""
                raise PositionError(
                    f"cannot truncate {which}to {wanted}: expected 0 to {most}, the seq_len of the"
                    f" shortest layer"
                )
        self._settle_all(lambda strategy, state, epoch: truncated(strategy, state, seq_lens, epoch))

    def _settle_all(self, change: Callable[[Strategy, LayerState, int], LayerState]) -> None:
        """Give every layer a new state, in one assignment, or none if `change` refuses one.

        All get the same epoch, and layers whose states are equal share one: the next step then
        has one plan again.
        """
        states = self._states()
        epoch = 1 + max(state.epoch for state in states)
        changed = [
            change(s, state, epoch) for s, state in zip(self._strategies, states, strict=True)
        ]
        shared: dict[LayerState, Move] = {}
        both = zip(self._strategies, changed, strict=True)
        self._ledger[:] = [strategy.rest(state, shared) for strategy, state in both]

    def _state_of(self, layer: int, batch_row: int) -> State:
        """The state of one batch row."""
        return per_batch_row(self.rings[layer].state, self.batch)[batch_row]

    def _held(self, layer: int, batch_row: int) -> tuple[Run, ...]:
        """The slots of one batch row that hold something."""
        return self._strategies[layer].held(batch_row, self._state_of(layer, batch_row))

    def _take_from(self, other: WholeCache) -> None:
        states = other._states()
        for layer, state in enumerate(states):
            stored = other._strategies[layer].stored(state)
            self.rings[layer]._take_from(other.rings[layer], stored)
        shared: dict[LayerState, Move] = {}
        all_layers = zip(self._strategies, other._strategies, states, strict=True)
        self._ledger[:] = [
            strategy.rest_as_in(theirs, state, shared) for strategy, theirs, state in all_layers
        ]

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
