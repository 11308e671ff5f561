"""Whole batch rows rearranged: reorder, select, repeat, add_batch_rows.

A beam search forks batch rows and lets others die; a server has sequences come and go. To the
sequences themselves nothing happens: each goes on as if it had a cache of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import setitem
from typing import Any, NamedTuple

from ..checks import checked_tokens, is_list
from ..config import CacheConfig
from ..errors import ConfigError, DTypeError, ShapeError
from ..plan import Move
from ..rows import joined_state
from .forget import ForgettingCache
from .relocation import Change, Stretch, at_once, becoming, moved_in_place, relocated
from .whole import WholeCache

__all__ = ["SurgeryCache"]

WHAT = "move batch rows in the middle of one"


class Pick(NamedTuple):
    """Where a batch row comes from."""

    cache: WholeCache
    batch_row: int


class SurgeryCache(ForgettingCache):
    """The verbs of :class:`kvring.KVCache` that move whole batch rows."""

    def reorder(self, batch_rows: Iterable[int]) -> None:
        """Make batch row i what batch row ``batch_rows[i]`` was: the step of a beam search.

        Parameters
        ----------
        batch_rows : list of int
            One per batch row, 0 to ``batch - 1``; duplicates are copied.

        Raises
        ------
        DTypeError, ShapeError
            If that is no list of int; not one per batch row, or out of range. Nothing moves.
        LockError
            If this thread reads a layer, or is in a step of this cache. Nothing moves.
        ConfigError
            If a policy of one's own cannot be copied. Nothing moves.

        Notes
        -----
        Pins, and what policies remember, go with their batch row. Views of all layers are stale
        afterwards. Cost: batch rows that change are copied in place, their resident rows alone, at
        the speed of memcpy; the identity moves nothing. Threads: as of `truncate`; Ctrl-C waits
        until all rows have moved.

        Examples
        --------
        >>> import numpy as np
        >>> from kvring import Append, KVCache
        >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, batch=4, strategy=Append(8))
        >>> beams = np.array([5, 6, 7, 8], np.float32).reshape(4, 1, 1, 1)
        >>> view = cache.update(0, beams, beams)
        >>> cache.reorder([1, 1, 0, 3])
        >>> cache.read(0).keys.ravel().tolist()
        [6.0, 6.0, 5.0, 8.0]
        """
        named = _checked_batch_rows(batch_rows)

        def rearrange() -> None:
            if len(named) != self.batch:
                raise ShapeError(
                    f"batch_rows: expected {self.batch}, one per batch row, got {len(named)}; for"
                    f" fewer use select, for more use repeat"
                )
            self._rearrange(self._picked(named))

        self._change_all(rearrange, WHAT)

    def select(self, batch_rows: Iterable[int]) -> None:
        """Keep these batch rows, in this order, and give back the memory of the others.

        Parameters
        ----------
        batch_rows : list of int
            One or more out of 0 to ``batch - 1``, none twice.

        Raises
        ------
        DTypeError, ShapeError
            If that is no list of int; empty, out of range, or names one twice. Nothing moves.
        LockError, ConfigError
            As of `reorder`, and if the memory cannot be reserved. Nothing moves.

        Notes
        -----
        Views of all layers are stale afterwards; arrays taken out of them before keep the memory
        they look at. Cost: the resident rows of these batch rows are copied once, into new memory,
        unless all stay where they are. Threads: as of `reorder`.
        """
        named = _checked_batch_rows(batch_rows)
        if not named:
            raise ShapeError("batch_rows: expected one or more, got none; use reset to forget all")
        if len(set(named)) < len(named):
            raise ShapeError(
                f"batch_rows: expected none twice, got {named}; use reorder or repeat for copies"
            )
        self._change_all(lambda: self._rearrange(self._picked(named)), WHAT)

    def repeat(self, n: int) -> None:
        """Make `n` neighbours of every batch row, all like it: 0, 0, 1, 1 for two, as np.repeat.

        Parameters
        ----------
        n : int
            1 or more.

        Raises
        ------
        DTypeError, ShapeError
            If `n` is no int, or less than 1. Nothing moves.
        LockError, ConfigError
            As of `select`. Nothing moves.

        Notes
        -----
        What beam search begins with: one prompt, then as many beams. Views of all layers are stale
        afterwards. Cost: the resident rows are copied `n` times, into new memory; `n` = 1 moves
        nothing. Threads: as of `reorder`.
        """
        times = checked_tokens("n", n)
        if times < 1:
            raise ShapeError(f"n: expected 1 or more, got {times}")

        def rearrange() -> None:
            if times > 1:
                for ring in self.rings:  # no memory for so many: said before they are counted up
                    ring.reserved(times * self.batch, ring.capacity)
            self._rearrange(self._picked([b for b in range(self.batch) for _ in range(times)]))

        self._change_all(rearrange, WHAT)

    def add_batch_rows(self, other: WholeCache) -> None:
        """Append copies of all batch rows of `other` behind those that are here.

        Parameters
        ----------
        other : KVCache
            Of the same layers, axes, dtype, layout and strategies; it stays as it is. It may be
            this cache.

        Raises
        ------
        DTypeError, ShapeError, ConfigError
            If `other` is no KVCache, or of another dtype; of other axes or another layout; of other
            strategies. Nothing moves.
        LockError, ConfigError
            As of `select`. Nothing moves.

        Notes
        -----
        How a prompt that was read by itself joins a running batch. Views of this cache are stale
        afterwards. Cost: the resident rows of both are copied into new memory, those of `other`
        twice. Threads: as of `reorder`; of `other` it sees what `copy` sees.
        """
        if not isinstance(other, WholeCache):
            raise DTypeError(f"other: expected a KVCache, got {type(other).__name__}")

        _check_alike(self.config, other.config)
        # Its locks and this cache's, or its step and this one's, are never held together: whoever
        # does the same the other way round would wait for ever.
        added = other if other is self else other.copy()

        def rearrange() -> None:
            _check_alike(self.config, added.config)
            mine = [Pick(self, b) for b in range(self.batch)]
            self._rearrange([*mine, *(Pick(added, b) for b in range(added.batch))])

        self._change_all(rearrange, WHAT)

    def _picked(self, batch_rows: list[int]) -> list[Pick]:
        """Batch rows of this cache; ShapeError if there is none of that number."""
        for batch_row in batch_rows:
            if not 0 <= batch_row < self.batch:
                raise ShapeError(f"batch_rows: expected 0 to {self.batch - 1}, got {batch_row}")
        return [Pick(self, batch_row) for batch_row in batch_rows]

    def _rearrange(self, picks: Sequence[Pick]) -> None:
        """Make the batch rows those picked. All locks are held, and all picks exist."""
        epoch = 1 + max(state.epoch for state in self._states())
        shared: dict[Any, Move] = {}
        moves: list[Move] = []
        rows: list[Change] = []
        published: list[Change] = []
        for layer, ring in enumerate(self.rings):
            states = [pick.cache._state_of(layer, pick.batch_row) for pick in picks]
            origins = [(pick.cache._strategies[layer], pick.batch_row) for pick in picks]
            after = joined_state([state._replace(epoch=epoch) for state in states])
            move, of_policy = self._strategies[layer].rest_from(origins, after, shared)
            moves.append(move)
            published += of_policy
            if len(picks) == self.batch:
                everything = [self._held(layer, b) for b in range(self.batch)]
                rows += moved_in_place(ring, [pick.batch_row for pick in picks], everything)
            else:
                new = relocated(ring, len(picks), ring.capacity, _stretches(layer, picks))
                published += becoming(ring, new, len(picks), ring.capacity)
            if self._strategies[layer].evicts:
                published.append(partial(setitem, ring.__dict__, "_apart", len(picks) > 1))
        config = replace(self.config, batch=len(picks))
        published.append(partial(setitem, self._ledger, slice(None), moves))
        published.append(partial(setitem, self.__dict__, "config", config))
        before = [(ring._keys, ring._values) for ring in self.rings]  # freed when all is over
        at_once([*rows, *published])
        del before


def _stretches(layer: int, picks: Sequence[Pick]) -> Iterator[Stretch]:
    """Which slots of a layer go where, each under its own number."""
    for to, (cache, batch_row) in enumerate(picks):
        for run in cache._held(layer, batch_row):
            yield Stretch(cache.rings[layer], batch_row, run.slot, to, run.slot, run.rows)


def _checked_batch_rows(batch_rows: Iterable[int]) -> list[int]:
    """Numbers of batch rows as plain ints."""
    if not is_list(batch_rows):
        raise DTypeError(f"batch_rows: expected a list of int, got {batch_rows!r}")
    return [checked_tokens("batch_rows", batch_row) for batch_row in batch_rows]


def _check_alike(mine: CacheConfig, theirs: CacheConfig) -> None:
    """Raise unless two caches differ in nothing but their batch rows."""
    if theirs.dtype != mine.dtype:
        raise DTypeError(f"other: expected {mine.dtype}, got {theirs.dtype}")
    if theirs.layout != mine.layout:
        raise ShapeError(f"other: expected layout {mine.layout}, got {theirs.layout}")
    if len(theirs.layers) != len(mine.layers):
        raise ShapeError(f"other: expected {len(mine.layers)} layers, got {len(theirs.layers)}")
    for number, (here, there) in enumerate(zip(mine.layers, theirs.layers, strict=True)):
        for name in ("kv_heads", "head_dim", "value_dim"):
            expected, got = getattr(here, name), getattr(there, name)
            if expected != got:
                raise ShapeError(f"other: expected {name}={expected} in layer {number}, got {got}")
        if here.strategy != there.strategy:
            raise ConfigError(
                f"other: expected {here.strategy} in layer {number}, got {there.strategy}; build"
                f" it from the same strategy"
            )
