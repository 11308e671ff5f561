"""Small texts for people: counted things, byte counts."""

from __future__ import annotations

__all__ = ["counted", "human_bytes"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun.

    Examples
    --------
    >>> counted(1, "query", "queries"), counted(0, "row")
    ('1 query', '0 rows')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def human_bytes(nbytes: int) -> str:
    """A byte count in the largest unit that leaves a number of one or more.

    Examples
    --------
    >>> human_bytes(96), human_bytes(1536), human_bytes(46_080_000_000)
    ('96 bytes', '1.5 KiB', '42.9 GiB')
    """
    if nbytes < 1024:
        return counted(nbytes, "byte")
    power = min((nbytes.bit_length() - 1) // 10, 3)
    return f"{nbytes / 1024**power:.1f} {('', 'KiB', 'MiB', 'GiB')[power]}"
