"""The oracle: the contract carried out on plain lists of rows, so that it can be checked by eye.

Nothing here is fast or shared with what it judges: no arrays, no slots, no modulo, no compiled
code. A chunk is carried out token by token, because that is what a chunk means. A row is any
Python object, moved about and never looked into. Law numbers are those of the contract. Whether an
old view may still be used (law 12) and what threads see (law 13) are not the reference's business.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from .config import CacheConfig, Circular, Mode, Replace
from .errors import CapacityError, DTypeError, EvictedError, LayerError, PositionError, ShapeError

__all__ = ["ReferenceCache", "ReferenceView", "Row", "TokenSequence"]

Row = Any
Entry = tuple[int, Row]  # (position, row)


@dataclass(frozen=True)
class ReferenceView:
    """What the queries of one call see.

    Parameters
    ----------
    visible : list of list of (int, row)
        One list per query: the positions it may attend to, with their rows, oldest first.
    evicted : list of int, positions
        Which positions left in this call, in the order they left; also those of its own tokens
        that later ones pushed out again, so that the total never depends on how tokens are cut.
    """

    visible: list[list[Entry]]
    evicted: list[int]

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


class TokenSequence:
    """One sequence in one layer: its resident rows, oldest first, and how many tokens it has seen.

    It knows of no other layer or sequence and checks nothing: its caller asks `room` and `missing`.
    """

    def __init__(self, strategy: Mode) -> None:
        self.strategy = strategy
        self.seq_len = 0  # law 1: the position that the next token gets
        self.resident: list[Entry] = []

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

    def newest(self) -> list[Entry]:
        """What the newest token sees; nothing when there is none."""
        return [(p, row) for p, row in self.resident if self.sees(self.seq_len - 1, p)]

    def truncate(self, seq_len: int) -> None:
        """Drop every position from `seq_len` on."""
        self.resident = [(p, row) for p, row in self.resident if p < seq_len]
        self.seq_len = seq_len

    def missing(self, seq_len: int) -> list[int]:
        """What the newest token would need after ``truncate(seq_len)`` and is gone (law 7)."""
        resident = set(self.positions())
        return [p for p in range(seq_len) if self.sees(seq_len - 1, p) and p not in resident]

    def room(self) -> int | None:
        """The most tokens that one update takes now (laws 2, 4 and 10); None is no limit."""
        if isinstance(self.strategy, Circular):
            return None
        replaced = isinstance(self.strategy, Replace)
        return self.strategy.capacity - (0 if replaced else len(self.resident))

    def positions(self) -> list[int]:
        """Positions of all resident rows, oldest first."""
        return [position for position, _ in self.resident]


class ReferenceCache:
    """The cache of the contract: one `TokenSequence` per layer, and the checks before each change.

    It is built from the configuration of the cache that is judged. All batch rows take the same
    tokens, so one object stands for a token in all of them.

    Examples
    --------
    After 12 tokens 0..11 seven rows are resident, and the newest token sees five of them.

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
    kvring.errors.EvictedError: cannot truncate to 9: position 5 of layer 0 is gone
    >>> back = cache.copy()
    >>> for seq_len in 10, 1:
    ...     back.truncate(seq_len)
    ...     print(back.read(0).positions)
    [0, 6, 7, 8, 9]
    [0]

    A chunk sees the sink and the last W - 1 + T positions, even those that it pushes out itself.

    >>> chunk = cache.update(0, list("mnopq"))
    >>> chunk.positions, chunk.evicted
    ([0, 9, 10, 11, 12, 13, 14, 15, 16], [6, 7, 8, 9, 10])
    """

    def __init__(self, config: CacheConfig) -> None:
        self.config = config
        self._sequences = [TokenSequence(layer.strategy) for layer in config.layers]

    @property
    def seq_len(self) -> int:
        """Tokens that every layer has seen: the smallest of `seq_lens` (law 10)."""
        return min(sequence.seq_len for sequence in self._sequences)

    @property
    def seq_lens(self) -> list[list[int]]:
        """Tokens seen, one list per layer of one int per batch row."""
        return [[sequence.seq_len] * self.config.batch for sequence in self._sequences]

    @property
    def length(self) -> int:
        """Rows that every layer has at least: the smallest of `lengths`."""
        return min(len(sequence.resident) for sequence in self._sequences)

    @property
    def lengths(self) -> list[list[int]]:
        """Rows resident, one list per layer of one int per batch row."""
        return [[len(sequence.resident)] * self.config.batch for sequence in self._sequences]

    @property
    def room(self) -> int | None:
        """The most tokens that one update of every layer takes now, None for no limit (law 10)."""
        rooms = [sequence.room() for sequence in self._sequences]
        return min((room for room in rooms if room is not None), default=None)

    def positions(self, layer: int) -> list[int]:
        """Positions of all resident rows of `layer`, oldest first."""
        return self._sequence(layer).positions()

    def rows(self, layer: int) -> list[Row]:
        """All resident rows of `layer`, in the order of `positions`."""
        return [row for _, row in self._sequence(layer).resident]

    def read(self, layer: int) -> ReferenceView:
        """The view of one query, the newest token of `layer` (law 5)."""
        return ReferenceView([self._sequence(layer).newest()], [])

    def update(self, layer: int, rows: list[Row], seq_len: int | None = None) -> ReferenceView:
        """Append `rows` (replace mode: replace all), or what of them `seq_len` says is new.

        Parameters
        ----------
        layer : int
        rows : list of row
            One per token.
        seq_len : int, tokens, optional
            What the total shall be (law 6). Without it, all rows are new.

        Raises
        ------
        DTypeError, LayerError, ShapeError, CapacityError, PositionError, EvictedError
            For an argument that is no integer; no such layer; a row count that does not fit
            `seq_len`; no room; a `seq_len` that `truncate` refuses. Nothing has changed then.
        """
        sequence = self._sequence(layer)
        if seq_len is not None:
            total = _checked_index("seq_len", seq_len)
            rows = _new_rows(sequence, rows, total)
            if total < sequence.seq_len and not isinstance(sequence.strategy, Replace):
                self.truncate(total)
        room = sequence.room()
        if room is not None and len(rows) > room:
            raise CapacityError(f"layer {layer}: expected at most {room} rows, got {len(rows)}")
        view = sequence.update(rows)
        return view if rows or seq_len is None else self.read(layer)

    def truncate(self, seq_len: int) -> None:
        """Drop the newest tokens of all layers, so that `seq_len` are left, or of none (law 7).

        Raises
        ------
        DTypeError, PositionError, EvictedError
            If `seq_len` is no integer; negative or more than the smallest layer has seen; or if
            its newest token would need a row that is gone. No layer changes.
        """
        total = _checked_index("seq_len", seq_len)
        if not 0 <= total <= self.seq_len:
            raise PositionError(f"cannot truncate to {total}: expected 0 .. {self.seq_len}")
        for layer, sequence in enumerate(self._sequences):
            for position in sequence.missing(total):
                gone = f"position {position} of layer {layer} is gone"
                raise EvictedError(f"cannot truncate to {total}: {gone}")
        for sequence in self._sequences:
            sequence.truncate(total)

    def reset(self) -> None:
        """Forget all tokens of all layers."""
        self.truncate(0)

    def copy(self) -> ReferenceCache:
        """A cache of its own with the same rows under the same positions."""
        twin = ReferenceCache(self.config)
        for new, old in zip(twin._sequences, self._sequences, strict=True):
            new.seq_len, new.resident = old.seq_len, list(old.resident)
        return twin

    def _sequence(self, layer: int) -> TokenSequence:
        number = _checked_index("layer", layer)
        if not 0 <= number < len(self._sequences):
            raise LayerError(f"layer: expected 0 .. {len(self._sequences) - 1}, got {number}")
        return self._sequences[number]


def _new_rows(sequence: TokenSequence, rows: list[Row], total: int) -> list[Row]:
    """Which of `rows` are new when `total` is what the sequence shall come to (law 6)."""
    before, count = sequence.seq_len, len(rows)
    new_rows: dict[int, list[Row]] = {0: []}  # for each row count that fits, what is new
    if isinstance(sequence.strategy, Replace):
        new_rows = {total: rows}
    elif total > before:
        new_rows = {total - before: rows, total: rows[before:]}
    elif total == before:
        new_rows = {0: [], total: []}
    elif count and total >= 0:
        raise ShapeError(
            f"seq_len={total} would drop {before - total} of {before} tokens; it is the total, "
            f"not the chunk; to drop tokens call truncate({total})"
        )
    if count in new_rows:
        return new_rows[count]
    counts = " or ".join(str(fitting) for fitting in new_rows)
    raise ShapeError(f"seq_len={total} after {before} tokens: expected {counts} rows, got {count}")


def _checked_index(name: str, value: object) -> int:
    """`value` as an int. A bool is not a number of tokens, nor is 3.0."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise DTypeError(f"{name}: expected an integer, got {value!r}") from None
