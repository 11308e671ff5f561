"""The oracle: the contract carried out on plain lists of rows, so that it can be checked by eye.

Nothing here is fast or shared with what it judges: no arrays, no slots, no modulo, no compiled
code. A chunk is carried out token by token, because that is what a chunk means, and each batch row
is a sequence of its own, because that is what a batch means. A row is any Python object, moved
about and never looked into. Law numbers are those of the contract. Whether an old view may still be
used (law 12) and what threads see (law 13) are not the reference's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..config import CacheConfig, Replace
from ..errors import DTypeError, EvictedError, PositionError, ShapeError
from .arguments import (
    check_alike,
    check_padding,
    checked_batch_row,
    checked_index,
    checked_indexes,
    per_batch_row,
)
from .resize import ReferenceResize
from .sequence import (
    Padding,
    ReferenceView,
    Row,
    TokenSequence,
    check_room,
    joined,
    new_rows,
    real_rows,
)

__all__ = ["ReferenceCache", "ReferenceView", "Row", "TokenSequence"]


class ReferenceCache(ReferenceResize):
    """The cache of the contract: one `TokenSequence` per layer and batch row, and all checks.

    It is built from the configuration of the cache that is judged. Where all batch rows take the
    same tokens, one object stands for a token in all of them.

    Examples
    --------
    After 12 tokens 0..11 seven rows are resident, and the newest token sees five of them.

    >>> from kvring.config import Circular
    >>> ring = Circular(window=4, sink_tokens=1, rollback_tokens=2)
    >>> config = CacheConfig.build(layers=1, kv_heads=1, head_dim=1, strategy=ring)
    >>> cache = ReferenceCache(config)
    >>> for token in "abcdefghijkl":
    ...     view = cache.update(0, [token])
    >>> cache.positions(0)
    [0, 6, 7, 8, 9, 10, 11]
    >>> view.positions, view.rows, view.evicted
    ([0, 8, 9, 10, 11], ['a', 'i', 'j', 'k', 'l'], [5])

    It goes back by two tokens, not by three, and to its sinks at any time.

    >>> cache.truncate(9)
    Traceback (most recent call last):
    ...
    kvring.errors.EvictedError: cannot truncate to 9: position 5 of layer 0 is gone in batch row 0
    >>> back = cache.copy()
    >>> for seq_len in 10, 1:
    ...     back.truncate(seq_len)
    ...     print(back.read(0).positions)
    [0, 6, 7, 8, 9]
    [0]

    Batch rows may take different numbers of tokens; the dot is padding, and stored nowhere.

    >>> cache.repeat(2)
    >>> view = cache.update(0, [list("mn"), list(".o")], token_counts=[2, 1], padding="left")
    >>> view.batch_row(1).rows, cache.seq_lens
    (['a', 'j', 'k', 'l', 'o'], [[14, 13]])
    >>> cache.truncate([12, 0])
    >>> cache.select([1])
    >>> cache.config.batch, cache.seq_len
    (1, 0)
    """

    def __init__(self, config: CacheConfig) -> None:
        self.config = config
        self._sequences = [  # one list per layer, of one sequence per batch row
            [TokenSequence(layer.strategy) for _ in range(config.batch)] for layer in config.layers
        ]

    @property
    def seq_len(self) -> int:
        """Tokens that every layer has seen (law 10); ShapeError where batch rows differ in that."""
        first, *others = self._in_step()
        if any(other != first for other in others):
            raise ShapeError(f"seq_len: batch rows differ; use seq_lens, {self.seq_lens}")
        return first

    @property
    def seq_lens(self) -> list[list[int]]:
        """Tokens seen, one list per layer of one int per batch row."""
        return [[sequence.seq_len for sequence in layer] for layer in self._sequences]

    @property
    def length(self) -> int:
        """Rows that every batch row of every layer has at least: the smallest of `lengths`."""
        return min(length for layer in self.lengths for length in layer)

    @property
    def lengths(self) -> list[list[int]]:
        """Rows resident, one list per layer of one int per batch row."""
        return [[len(sequence.resident) for sequence in layer] for layer in self._sequences]

    @property
    def room(self) -> int | None:
        """The most tokens that one update of every layer takes now, None for no limit (law 10)."""
        rooms = [sequence.room() for layer in self._sequences for sequence in layer]
        return min((room for room in rooms if room is not None), default=None)

    def positions(self, layer: int, batch_row: int = 0) -> list[int]:
        """Positions of all resident rows of one batch row of `layer`, oldest first."""
        return self.sequence(layer, batch_row).positions()

    def rows(self, layer: int, batch_row: int = 0) -> list[Row]:
        """All resident rows of one batch row of `layer`, in the order of `positions`."""
        return [row for _, row in self.sequence(layer, batch_row).resident]

    def sequence(self, layer: int, batch_row: int = 0) -> TokenSequence:
        """One batch row of `layer`: the sequence itself, which checks nothing, not a copy."""
        sequences = self._batch_rows(layer)
        return sequences[checked_batch_row("batch_row", batch_row, len(sequences))]

    def read(self, layer: int) -> ReferenceView:
        """The view of one query per batch row, the newest token of each in `layer` (law 5)."""
        return joined([ReferenceView([one.newest()], []) for one in self._batch_rows(layer)])

    def update(
        self,
        layer: int,
        rows: list[Row],
        seq_len: int | None = None,
        *,
        token_counts: Iterable[int] | None = None,
        padding: Padding = "right",
    ) -> ReferenceView:
        """Append `rows` (replace mode: replace all), or what of them is new or real.

        Parameters
        ----------
        layer : int
        rows : list of row
            One per token, for all batch rows. With `token_counts`: one such list per batch row,
            all of the same length T.
        seq_len : int, tokens, optional
            What the total of each batch row shall be (law 6). Without it, all rows are new.
        token_counts : list of int, tokens, optional
            How many of the T tokens are real in each batch row (law 11). The others are not looked
            at. A batch row with none stays as it is (replace mode: is emptied).
        padding : {"right", "left"}, optional
            Which end of each batch row is not real.

        Raises
        ------
        DTypeError, ConfigError, LayerError, ShapeError, CapacityError, PositionError, EvictedError
            For an argument of the wrong type; no such `padding`; no such layer; counts that do not
            fit, or `seq_len` where batch rows differ; no room in a batch row; a `seq_len` that
            `truncate` refuses. Nothing has changed then, in any batch row.
        PolicyError
            If a policy of one's own answers nonsense. Likewise.
        """
        sequences = self._batch_rows(layer)
        check_padding(padding)
        taken = [rows] * self.config.batch
        if seq_len is not None:
            if token_counts is not None:
                raise ShapeError("seq_len and token_counts: expected one of them, got both")
            total = checked_index("seq_len", seq_len)
            taken = [new_rows(sequences, rows, total)] * self.config.batch
            if total < sequences[0].seq_len and not isinstance(sequences[0].strategy, Replace):
                self.truncate(total)
        elif token_counts is not None:
            counts = per_batch_row("token_counts", token_counts, self.config.batch)
            taken = real_rows(rows, counts, padding)
        check_room(layer, sequences, taken)
        views = [one.update(new) for one, new in zip(sequences, taken, strict=True)]
        return self.read(layer) if seq_len is not None and not taken[0] else joined(views)

    def truncate(self, seq_len: int | Iterable[int]) -> None:
        """Drop the newest tokens of all layers, so that `seq_len` are left, or of none (law 7).

        A list says it for each batch row (law 11).

        Raises
        ------
        DTypeError, ShapeError, PositionError, EvictedError
            If `seq_len` is no integer or list of them; not one per batch row; negative or more than
            the batch row has in its smallest layer; or if the newest token left would need a row
            that is gone. Nothing changes.
        """
        if isinstance(seq_len, Iterable):
            totals = per_batch_row("seq_len", seq_len, self.config.batch)
        else:
            totals = [checked_index("seq_len", seq_len)] * self.config.batch
        for total, most in zip(totals, self._in_step(), strict=True):
            if not 0 <= total <= most:
                raise PositionError(f"cannot truncate to {total}: expected 0 .. {most}")
        for layer, sequences in enumerate(self._sequences):
            for batch_row, (sequence, total) in enumerate(zip(sequences, totals, strict=True)):
                for position in sequence.missing(total):
                    gone = f"position {position} of layer {layer} is gone in batch row {batch_row}"
                    raise EvictedError(f"cannot truncate to {total}: {gone}")
        for sequences in self._sequences:
            for sequence, total in zip(sequences, totals, strict=True):
                sequence.truncate(total)

    def reset(self) -> None:
        """Forget all tokens of all layers."""
        self.truncate(0)

    def reorder(self, batch_rows: Iterable[int]) -> None:
        """Make batch row i what batch row ``batch_rows[i]`` was; duplicates are copied.

        Raises
        ------
        DTypeError, ShapeError
            If `batch_rows` is no list of integers; or not one per batch row, or out of range.
            Nothing changes.
        """
        self._take(per_batch_row("batch_rows", batch_rows, self.config.batch))

    def select(self, batch_rows: Iterable[int]) -> None:
        """Keep the batch rows of these numbers, in this order, and no others.

        Raises
        ------
        DTypeError, ShapeError
            If `batch_rows` is no list of integers; or empty, out of range or with duplicates.
            Nothing changes.
        """
        chosen = checked_indexes("batch_rows", batch_rows)
        if not chosen or len(set(chosen)) < len(chosen):
            raise ShapeError(f"batch_rows: expected one or more without duplicates, got {chosen}")
        self._take(chosen)

    def repeat(self, n: int) -> None:
        """Make every batch row `n` neighbours that are the same: 0, 0, 1, 1 for `n` = 2.

        Raises
        ------
        DTypeError, ShapeError
            If `n` is no integer, or less than 1. Nothing changes.
        """
        times = checked_index("n", n)
        if times < 1:
            raise ShapeError(f"n: expected 1 or more, got {times}")
        self._take([batch_row for batch_row in range(self.config.batch) for _ in range(times)])

    def add_batch_rows(self, other: ReferenceCache) -> None:
        """Append copies of the batch rows of `other`, which may be this cache, behind those here.

        Raises
        ------
        DTypeError, ShapeError, ConfigError
            If `other` is no ReferenceCache or of another dtype; has other layers, axes or another
            layout; or other strategies. Nothing changes.
        """
        if not isinstance(other, ReferenceCache):
            raise DTypeError(f"other: expected a ReferenceCache, got {other!r}")
        check_alike(self.config, other.config)
        both = zip(self._sequences, other._sequences, strict=True)
        self._become([mine + [one.copy() for one in theirs] for mine, theirs in both])

    def copy(self) -> ReferenceCache:
        """A cache of its own with the same rows under the same positions."""
        twin = ReferenceCache(self.config)
        twin._sequences = [[one.copy() for one in layer] for layer in self._sequences]
        return twin

    def _in_step(self) -> list[int]:
        """For each batch row, how many tokens every layer has seen."""
        return [min(of_layers) for of_layers in zip(*self.seq_lens, strict=True)]

    def _take(self, batch_rows: list[int]) -> None:
        """Surgery: copies, because two batch rows may come from one."""
        for batch_row in batch_rows:
            checked_batch_row("batch_rows", batch_row, self.config.batch)
        self._become([[layer[b].copy() for b in batch_rows] for layer in self._sequences])

    def _become(self, sequences: list[list[TokenSequence]]) -> None:
        self._sequences = sequences
        self.config = replace(self.config, batch=len(sequences[0]))
