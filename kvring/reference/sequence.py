"""One token sequence of the reference: a list of rows in one layer, and what its queries see.

`ReferenceCache` in :mod:`kvring.reference` keeps one `TokenSequence` per layer and batch row. All
that a mode means for a row, seen or evicted, is said here; no sequence knows of another. Below it:
which of the rows of a call a sequence takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..config import Append, Circular, Mode, Replace
from ..errors import CapacityError, ShapeError
from .arguments import checked_batch_row, checked_list
from .forgetting import Forgetting

__all__ = [
    "Padding",
    "ReferenceView",
    "Row",
    "TokenSequence",
    "check_room",
    "joined",
    "new_rows",
    "real_rows",
]

Padding = Literal["right", "left"]
Row = Any
Entry = tuple[int, Row]  # (position, row)


@dataclass(frozen=True)
class ReferenceView:
    """What the queries of one call see: in batch row 0, and by `batch_row` in each of them.

    Parameters
    ----------
    visible : list of list of (int, row)
        One list per query: the positions it may attend to, with their rows, oldest first.
    evicted : list of int, positions
        Which positions left in this call, in the order they left; also those of its own tokens
        that later ones pushed out again, so that the total never depends on how tokens are cut.
    other_batch_rows : tuple of ReferenceView, optional
        The views of batch rows 1, 2, ..., each without padding.

    Examples
    --------
    >>> view = ReferenceView([[(0, "a")]], [], (ReferenceView([], []),))
    >>> view.positions, view.batch_row(0).positions, view.batch_row(1).positions
    ([0], [0], [])
    """

    visible: list[list[Entry]]
    evicted: list[int]
    other_batch_rows: tuple[ReferenceView, ...] = ()

    @property
    def positions(self) -> list[int]:
        """The union of what the queries see (law 5), oldest first."""
        return sorted({position for query in self.visible for position, _ in query})

    @property
    def rows(self) -> list[Row]:
        """The rows of `positions`, in that order."""
        union = dict(entry for query in self.visible for entry in query)
        return [union[position] for position in self.positions]

    def mask(self) -> list[list[bool]]:
        """One list of (rows) bools per query, True where it may attend."""
        positions = self.positions
        seen = [{position for position, _ in query} for query in self.visible]
        return [[position in query for position in positions] for query in seen]

    def batch_row(self, batch_row: int) -> ReferenceView:
        """The view of one batch row alone, without padding (law 11).

        Raises
        ------
        DTypeError, ShapeError
            If `batch_row` is no integer, or the view has no such batch row.
        """
        alone = ReferenceView(self.visible, self.evicted)
        views = (alone, *self.other_batch_rows)
        return views[checked_batch_row("batch_row", batch_row, len(views))]


class TokenSequence:
    """One sequence in one layer: its resident rows, oldest first, and how many tokens it has seen.

    It knows of no other layer or sequence and checks nothing: its caller asks `room` and `missing`.

    Examples
    --------
    A chunk sees the sink and the last W - 1 + T positions, even those that it pushes out itself.

    >>> sequence = TokenSequence(Circular(window=4, sink_tokens=1, rollback_tokens=2))
    >>> _ = sequence.update(list("abcdefghijkl"))
    >>> chunk = sequence.update(list("mnopq"))
    >>> chunk.positions, chunk.evicted
    ([0, 9, 10, 11, 12, 13, 14, 15, 16], [6, 7, 8, 9, 10])
    >>> sequence.positions(), sequence.missing(14)
    ([0, 11, 12, 13, 14, 15, 16], [10])
    """

    def __init__(self, strategy: Mode) -> None:
        self.strategy = strategy
        self.seq_len = 0  # law 1: the position that the next token gets
        self.resident: list[Entry] = []
        evicts = isinstance(strategy, Append) and strategy.eviction is not None
        self.forgetting = Forgetting(strategy) if isinstance(strategy, Append) and evicts else None

    def sees(self, query: int, position: int) -> bool:
        """Whether `position` is in ``visible(query)`` (laws 2, 3 and 4)."""
        if isinstance(self.strategy, Circular) and position >= self.strategy.sink_tokens:
            return query - self.strategy.window < position <= query
        return position <= query

    def stays(self, position: int, written: int) -> bool:
        """Whether the row of `position` is still there once `written` has been stored (law 3)."""
        if isinstance(self.strategy, Circular) and position >= self.strategy.sink_tokens:
            return written - position != self.strategy.window + self.strategy.rollback_tokens
        return True

    def update(self, rows: list[Row]) -> ReferenceView:
        """Take `rows` one after the other; each sees what is resident once it is stored (law 5)."""
        if self.forgetting is not None:
            return self._update_evicting(self.forgetting, rows)
        if isinstance(self.strategy, Replace):
            self.truncate(0)  # law 4
        visible: list[list[Entry]] = []
        evicted: list[int] = []
        for row in rows:
            written = self.seq_len
            evicted += [p for p in self.positions() if not self.stays(p, written)]
            self.resident = [(p, old) for p, old in self.resident if self.stays(p, written)]
            self.resident.append((written, row))
            self.seq_len += 1
            visible.append(self.newest())
        return ReferenceView(visible, evicted)

    def _update_evicting(self, forgetting: Forgetting, rows: list[Row]) -> ReferenceView:
        """Law 2: who gives way is chosen before any query of the chunk; it sees what is left."""
        victims = self.victims(len(rows))
        self.drop(victims)
        new = list(range(self.seq_len, self.seq_len + len(rows)))
        self.resident += zip(new, rows, strict=True)
        self.seq_len += len(rows)
        if new:
            forgetting.written(new)
        if victims:
            forgetting.least_seq_len = self.seq_len
        return ReferenceView([self._up_to(query) for query in new], sorted(victims))

    def victims(self, tokens: int) -> list[int]:
        """Which rows an update of so many tokens would push out by choice (law 2)."""
        count = len(self.resident) + tokens - self.strategy.capacity
        if self.forgetting is None or count <= 0:
            return []
        return self.forgetting.victims(self.positions(), count, self.seq_len + tokens)

    def drop(self, positions: list[int]) -> None:
        """These rows are gone."""
        gone = set(positions)
        self.resident = [(p, row) for p, row in self.resident if p not in gone]
        if self.forgetting is not None:
            self.forgetting.dropped(positions)

    def resized(self, strategy: Mode) -> None:
        """Go on in slots of another number: a smaller ring has let go of its oldest rows."""
        self.strategy = strategy
        if isinstance(strategy, Circular):
            oldest = self.seq_len - strategy.window - strategy.rollback_tokens
            self.drop([p for p in self.positions() if strategy.sink_tokens <= p < oldest])
        if self.forgetting is not None and isinstance(strategy, Append):
            self.forgetting.mode = strategy

    def newest(self) -> list[Entry]:
        """What the newest token sees; nothing when there is none."""
        return self._up_to(self.seq_len - 1)

    def _up_to(self, query: int) -> list[Entry]:
        return [(p, row) for p, row in self.resident if self.sees(query, p)]

    def truncate(self, seq_len: int) -> None:
        """Drop every position from `seq_len` on."""
        self.drop([p for p in self.positions() if p >= seq_len])
        self.seq_len = seq_len
        if self.forgetting is not None and seq_len == 0:
            self.forgetting = Forgetting(self.forgetting.mode)

    def missing(self, seq_len: int) -> list[int]:
        """What the newest token would need after ``truncate(seq_len)`` and is gone (law 7)."""
        resident = set(self.positions())
        if self.forgetting is not None:  # law 2: no way back behind an eviction, but to 0
            least = self.forgetting.least_seq_len
            return [p for p in range(least) if 0 < seq_len < least and p not in resident]
        return [p for p in range(seq_len) if self.sees(seq_len - 1, p) and p not in resident]

    def room(self) -> int | None:
        """The most tokens that one update takes now (laws 2, 4 and 10); None is no limit."""
        if isinstance(self.strategy, Circular):
            return None
        if self.forgetting is not None:
            guarded = [p for p in self.positions() if self.forgetting.guarded(p)]
            return self.strategy.capacity - len(guarded)
        replaced = isinstance(self.strategy, Replace)
        return self.strategy.capacity - (0 if replaced else len(self.resident))

    def positions(self) -> list[int]:
        """Positions of all resident rows, oldest first."""
        return [position for position, _ in self.resident]

    def copy(self) -> TokenSequence:
        """A sequence of its own with the same rows under the same positions."""
        twin = TokenSequence(self.strategy)
        twin.seq_len, twin.resident = self.seq_len, list(self.resident)
        twin.forgetting = self.forgetting and self.forgetting.copy()
        return twin


def joined(views: list[ReferenceView]) -> ReferenceView:
    """One view of all batch rows, from the view of each."""
    return ReferenceView(views[0].visible, views[0].evicted, tuple(views[1:]))


def new_rows(sequences: list[TokenSequence], rows: list[Row], total: int) -> list[Row]:
    """Which of `rows` are new when `total` is what each sequence shall come to (law 6)."""
    before, count = sequences[0].seq_len, len(rows)
    fitting: dict[int, list[Row]] = {0: []}  # for each row count that fits, what is new
    if isinstance(sequences[0].strategy, Replace):
        fitting = {total: rows}
    elif any(sequence.seq_len != before for sequence in sequences):
        raise ShapeError(f"seq_len={total}: batch rows differ, see seq_lens; use token_counts")
    elif total > before:
        fitting = {total - before: rows, total: rows[before:]}
    elif total == before:
        fitting = {0: [], total: []}
    elif count and total >= 0:
        raise ShapeError(
            f"seq_len={total} would drop {before - total} of {before} tokens; it is the total, "
            f"not the chunk; to drop tokens call truncate({total})"
        )
    if count in fitting:
        return fitting[count]
    counts = " or ".join(str(number) for number in fitting)
    raise ShapeError(f"seq_len={total} after {before} tokens: expected {counts} rows, got {count}")


def real_rows(rows: list[Row], token_counts: list[int], padding: Padding) -> list[list[Row]]:
    """The rows of each batch row that are no padding (law 11); `token_counts` has one of each."""
    given = [checked_list("rows", of_batch_row) for of_batch_row in checked_list("rows", rows)]
    if len(given) != len(token_counts):
        raise ShapeError(f"rows: expected {len(token_counts)} batch rows, got {len(given)}")
    tokens = len(given[0])
    real = []
    for of_batch_row, count in zip(given, token_counts, strict=True):
        if len(of_batch_row) != tokens:
            raise ShapeError(f"rows: expected {tokens} in each batch row, got {len(of_batch_row)}")
        if not 0 <= count <= tokens:
            raise ShapeError(f"token_counts: expected 0 .. {tokens}, got {count}")
        real.append(of_batch_row[:count] if padding == "right" else of_batch_row[tokens - count :])
    return real


def check_room(layer: int, sequences: list[TokenSequence], taken: list[list[Row]]) -> None:
    """Whether the sequence of every batch row can take what it is to take."""
    for batch_row, (sequence, rows) in enumerate(zip(sequences, taken, strict=True)):
        room = sequence.room()
        if room is not None and len(rows) > room:
            where = f"layer {layer}, batch row {batch_row}"
            raise CapacityError(f"{where}: expected at most {room} rows, got {len(rows)}")
    for sequence, rows in zip(sequences, taken, strict=True):
        sequence.victims(len(rows))  # a policy of one's own may answer nonsense
