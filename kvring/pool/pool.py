"""CachePool: the caches of many sequences under one budget."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..config import CacheConfig
from ..errors import ConfigError, DTypeError
from ..memory import GIVES_BACK
from ..options import checked_int
from ..text import counted, human_bytes
from .book import Book
from .facts import PoolStats, table
from .keeper import Keeper
from .lease import Lease, claimed
from .sequences import Hold, Spilled, described

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import DTypeLike

    from ..config import Layout, Mode
    from .facts import PoolEvent, SequenceInfo
    from .moving import Policy

__all__ = ["CachePool"]


class CachePool:
    """Caches of many sequences, all of the same kind, within one budget of memory.

    Parameters
    ----------
    budget_bytes : int, bytes
        What all caches together may commit for K and V, in whole pages; at no moment more.
    policy : "lru", "fifo" or callable, optional
        Which idle sequence gives way first: the one whose last lease is longest ago, the one that
        was made first, or the one whose name the callable returns. It gets a list of SequenceInfo.
    spill : path, optional
        A folder in which sequences that give way are parked. Without one they are dropped.
    on_pressure : callable, optional
        Called with the number of bytes that are missing when idle sequences are not enough. It may
        close or truncate sequences. Then the call that needs them tries once more.
    on_event : callable, optional
        Called with a PoolEvent whenever a sequence is made, parked, dropped, restored or closed.
    layers, kv_heads, head_dim, strategy, value_dim, batch, dtype, layout
        Of every cache, as of :class:`~kvring.KVCache`.

    Raises
    ------
    ConfigError
        If an argument makes no pool, or the spill folder cannot be written to.

    Notes
    -----
    Threads: any method may be called from any thread, and different sequences are used side by
    side. A step on a leased cache takes no lock of the pool, unless its rows need pages that have
    not been admitted yet. Callables are called in the thread that needs the room, with no lock
    held; what they raise comes out of its call.

    Views of a leased cache, and arrays taken out of them, are good until the lease ends.

    A forked child cannot use its parent's pool: leases raise LeaseError there, and the cache of a
    lease that the forking thread has can be read and overwritten, not grown.

    Examples
    --------
    >>> import numpy as np
    >>> from kvring import Append, CachePool
    >>> with CachePool(
    ...     budget_bytes=1 << 20, layers=2, kv_heads=1, head_dim=64, strategy=Append(4096)
    ... ) as pool:
    ...     rows = np.ones((1, 1000, 1, 64), np.float32)
    ...     for name in ("ann", "bob"):
    ...         with pool.lease(name) as cache:
    ...             for layer in range(2):
    ...                 view = cache.update(layer, rows, rows)
    ...     pool.stats.evictions, pool.stats.high_water_bytes <= 1 << 20   # no room for both
    (1, True)
    """

    def __init__(
        self,
        *,
        budget_bytes: int,
        layers: int,
        kv_heads: int | Iterable[int],
        head_dim: int | Iterable[int],
        strategy: Mode | Iterable[Mode],
        value_dim: int | Iterable[int] | None = None,
        batch: int = 1,
        dtype: DTypeLike = "float32",
        layout: Layout = "BSHD",
        policy: Policy = "lru",
        spill: str | PathLike[str] | None = None,
        on_pressure: Callable[[int], object] | None = None,
        on_event: Callable[[PoolEvent], object] | None = None,
    ) -> None:
        self.config = CacheConfig.build(
            layers=layers,
            kv_heads=kv_heads,
            head_dim=head_dim,
            strategy=strategy,
            value_dim=value_dim,
            batch=batch,
            dtype=dtype,
            layout=layout,
        )
        budget = checked_int("budget_bytes", budget_bytes, least=1)
        _check_callables(policy, on_pressure, on_event)
        if not GIVES_BACK:
            raise ConfigError("a pool needs Linux, where memory can be given back at once")
        folder = None
        if spill is not None:
            from .spill import SpillFolder  # there are no locked files everywhere

            folder = SpillFolder(_checked_path(spill))
        self._book = Book(budget)
        self._keeper = Keeper(self._book, self.config, policy, folder, on_pressure, on_event)

    def lease(self, name: str, *, timeout: float | None = None) -> Lease:
        """The cache of a sequence, for this thread alone: ``with pool.lease(name) as cache:``.

        Parameters
        ----------
        name : str
            Any string. A new one makes an empty sequence, and so does one that was dropped.
        timeout : float, seconds, optional
            How long to wait while another thread has it; for as long as it takes if not given.

        Returns
        -------
        context manager of KVCache
            For one ``with``. The cache never gives way inside it.

        Raises
        ------
        DTypeError
            If `name` is no str, or `timeout` no number of seconds.
        LeaseError
            On entering, if another thread still has the sequence after `timeout`, this thread has
            it, or the pool is closed. Inside, from updates of a cache whose lease is over.
        SnapshotError
            On entering, if the sequence is on disk and cannot be read. It stays as it is, so each
            lease says so again, until the sequence is closed.
        BudgetError
            On entering, if the sequence is on disk and its rows do not fit. Inside, from updates
            whose rows do not fit. Nothing has changed.

        Notes
        -----
        Cost: a few us, and a pass over the sequences when one has to give way. A restore reads the
        sequence's file.
        """
        if not isinstance(name, str):
            raise DTypeError(f"name: expected a str, got {name!r:.80} ({type(name).__name__})")
        return Lease(self._keeper, name, _checked_timeout(timeout))

    def close(self, name: str | None = None, *, timeout: float | None = None) -> bool:
        """Forget a sequence, with its memory and its file; without a name all of them, for good.

        Parameters
        ----------
        name : str, optional
            Of the sequence. Without it the pool is closed: sequences that are on lease go when
            their leases end, and the spill folder goes at once.
        timeout : float, seconds, optional
            How long to wait for another thread's lease of the sequence.

        Returns
        -------
        bool
            Whether there was such a sequence, or the pool was open.

        Raises
        ------
        DTypeError, LeaseError
            As of `lease`; LeaseError also if this thread has the sequence on lease.
        """
        if name is None:
            return self._close_all()
        wait = self.lease(name, timeout=timeout)._timeout  # checked alike
        hold = Hold("move")
        if self._book.closed:
            return False
        sequence = claimed(self._book, hold, name, wait, make=False)
        if sequence is None:
            return False
        try:
            self._keeper.forget(sequence)
        finally:
            with self._book.lock:
                if sequence.hold is hold:
                    self._book.let_go(sequence)
        return True

    @property
    def closed(self) -> bool:
        """Whether no sequence can be leased any more."""
        return bool(self._book.closed)

    @property
    def stats(self) -> PoolStats:
        """What the pool has done and what it holds, at one moment."""
        book = self._book
        with book.lock:
            there = list(book.sequences.values())
            holds = [(sequence, sequence.hold) for sequence in there]
            return PoolStats(
                **book.counters,
                bytes=book.committed(),
                high_water_bytes=book.high_water_bytes,
                budget_bytes=book.budget_bytes,
                sequences=len(there),
                leased=sum(hold is not None and hold.doing == "lease" for _, hold in holds),
                spilled=sum(isinstance(sequence.place, Spilled) for sequence in there),
            )

    def sequences(self) -> list[SequenceInfo]:
        """Every sequence, the one that was leased last first."""
        with self._book.lock:
            infos = [described(sequence) for sequence in self._book.sequences.values()]
        return sorted(infos, key=operator.attrgetter("leased"), reverse=True)

    def _close_all(self) -> bool:
        book = self._book
        with book.lock:
            if book.closed:
                return False
            book.closed = "this pool is closed"
            book.settle_all()
            book.wake()
        self._keeper.await_moves()  # or they would write to a folder that is gone
        if self._keeper.spill is not None:
            self._keeper.spill.close()
        return True

    def __enter__(self) -> CachePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        stats = self.stats
        return (
            f"<CachePool{' (closed)' if self.closed else ''}:"
            f" {human_bytes(stats.bytes)} of {human_bytes(stats.budget_bytes)} committed, at most"
            f" {human_bytes(stats.high_water_bytes)}; {counted(stats.sequences, 'sequence')},"
            f" {stats.leased} on lease, {stats.spilled} on disk>"
        )

    def __str__(self) -> str:
        """A table for people: who holds what, idle since when."""
        return table(repr(self), self.sequences())


def _check_callables(policy: object, on_pressure: object, on_event: object) -> None:
    if not callable(policy) and not (isinstance(policy, str) and policy in ("lru", "fifo")):
        raise ConfigError(f"policy: expected 'lru', 'fifo' or a callable, got {policy!r:.80}")
    for name, given in (("on_pressure", on_pressure), ("on_event", on_event)):
        if given is not None and not callable(given):
            raise ConfigError(f"{name}: expected a callable, got {given!r:.80}")


def _checked_path(spill: Any) -> Path:
    try:
        return Path(cast("str", fspath(spill)))
    except TypeError:
        raise ConfigError(f"spill: expected the path of a folder, got {spill!r:.80}") from None


def _checked_timeout(timeout: Any) -> float | None:
    if timeout is None:
        return None
    try:
        seconds = math.nan if isinstance(timeout, (str, bytes, bool)) else float(timeout)
    except (OverflowError, TypeError, ValueError):
        seconds = math.nan
    if not seconds >= 0:
        raise DTypeError(f"timeout: expected seconds, 0 or more, or None, got {timeout!r:.80}")
    return seconds
