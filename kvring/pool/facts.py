"""What a pool says of itself: numbers for programs, events, a table for people."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Literal

from ..text import human_bytes

__all__ = ["PoolEvent", "PoolStats", "SequenceInfo", "short_name", "table"]

SHOWN_CHARACTERS = 28

EventKind = Literal[
    "created", "restored", "spilled", "dropped", "closed", "spill failed", "restore failed"
]


@dataclass(frozen=True)
class PoolStats:
    """What a pool has done since it was made, and what it holds.

    Parameters
    ----------
    hits : int
        Leases that found their sequence in memory.
    misses : int
        Leases for which a new, empty sequence was made.
    restores : int
        Leases whose sequence came back from the spill.
    evictions : int
        Sequences that gave way for others; `spills` of them went to disk, the rest is gone.
    spills : int
        Sequences written to the spill folder.
    bytes : int, bytes
        Pages of K and V that are committed now, or may be without asking again.
    high_water_bytes : int, bytes
        The most that `bytes` has ever been; never above the budget.
    budget_bytes : int, bytes
    sequences, leased, spilled : int
        Sequences there are, those on lease and those on disk.
    """

    hits: int
    misses: int
    restores: int
    evictions: int
    spills: int
    bytes: int
    high_water_bytes: int
    budget_bytes: int
    sequences: int
    leased: int
    spilled: int


@dataclass(frozen=True)
class PoolEvent:
    """One thing that has happened to a sequence, as `on_event` is told.

    Parameters
    ----------
    kind : str
        "created", "restored", "spilled" (it gave way, and is on disk), "dropped" (it gave way, and
        is gone), "closed", "spill failed" (it is still in memory), "restore failed" (it could not
        be read; the lease has raised SnapshotError).
    name : str
        Of the sequence.
    nbytes : int, bytes
        Memory that it took or gave back.
    reason : str
        What went wrong, or "".
    """

    kind: EventKind
    name: str
    nbytes: int
    reason: str = ""


@dataclass(frozen=True)
class SequenceInfo:
    """One sequence at a moment.

    Parameters
    ----------
    name : str
    where : str
        "leased", "idle", "spilled", or "moving" between memory and disk.
    nbytes : int, bytes
        Memory that it has committed; on disk: that it will take again.
    seq_len : int, tokens
        Of its longest layer.
    seconds : float, seconds
        Since it was leased, or given back.
    created, leased : int
        Its place in the order of creation, and in that of last leases.
    thread : str
        Who has it on lease, or "".
    """

    name: str
    where: Literal["leased", "idle", "spilled", "moving"]
    nbytes: int
    seq_len: int
    seconds: float
    created: int
    leased: int
    thread: str = ""


def short_name(name: str) -> str:
    """A name in quotes, of at most some thirty characters, all of them printable.

    Examples
    --------
    >>> print(short_name("chat-42"), short_name("x" * 10_000), short_name("a\\0b"))
    'chat-42' 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx'... 'a\\x00b'
    """
    shown = ascii(name[:SHOWN_CHARACTERS])
    return shown if len(name) <= SHOWN_CHARACTERS else f"{shown}..."


def table(title: str, sequences: Listed[SequenceInfo]) -> str:
    """A line for each sequence: who holds what, idle since when."""
    rows = [("sequence", "where", "tokens", "memory", "for", "held by")]
    rows += [
        (
            short_name(of.name),
            of.where,
            f"{of.seq_len:,}",
            human_bytes(of.nbytes) if of.where != "spilled" else f"({human_bytes(of.nbytes)})",
            duration(of.seconds),
            of.thread,
        )
        for of in sequences
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if 2 <= at <= 4 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([title, *lines])


def duration(seconds: float) -> str:
    """Some time in its largest unit.

    Examples
    --------
    >>> duration(0.25), duration(75), duration(7300)
    ('0.2 s', '1 min', '2 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min" if seconds < 3600 else f"{seconds // 3600:.0f} h"
