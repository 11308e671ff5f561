"""Small texts for people: counted things, byte counts, what somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["counted", "human_bytes", "listed", "near", "printable", "quoted", "slots_used"]


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


def printable(text: str, *, keeps_lines: bool = True) -> str:
    r"""The text with all escaped that is no letter, number, sign, space or (if kept) line break.

    What others wrote may hold commands to the terminal, or characters that XML and UTF-8 lack.

    Examples
    --------
    >>> printable("\x1b[31mré\x00d\ud800\n")
    '\\x1b[31mré\\x00d\\ud800\n'
    >>> print(printable("two\nlines", keeps_lines=False))
    two\nlines
    """
    kept = "\n" if keeps_lines else ""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def slots_used(lengths: Sequence[int], oldest_at: Sequence[int], capacity: int) -> str:
    """How full a ring is: in all batch rows alike, or in each.

    Examples
    --------
    >>> slots_used([3], [0], 8)
    '3 of 8 slots, head at slot 0'
    >>> slots_used([3, 1], [0, 0], 8)
    '3, 1 of 8 slots in its batch rows, head at slot 0, 0'
    """
    full, oldest = (", ".join(map(str, numbers)) for numbers in (lengths, oldest_at))
    where = " in its batch rows" if len(lengths) > 1 else ""
    return f"{full} of {capacity} slots{where}, head at slot {oldest}"


def near(word: str, known: Iterable[str]) -> str:
    """What somebody may have meant, as the rest of a sentence.

    Examples
    --------
    >>> near("windw", ["window", "sink_tokens"]), near("x", ["window", "sink_tokens"])
    ("; did you mean 'window'?", '; expected window or sink_tokens')
    >>> near("x", ["update", "first use"])
    "; expected update or 'first use'"
    """
    from difflib import get_close_matches  # takes longer to load than most of kvring

    names = list(known)
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; expected {listed(quoted(names))}"


def listed(names: Iterable[str]) -> str:
    """Names with an "or" before the last.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"]), listed([])
    ('a, b or c', 'a', 'nothing')
    """
    *most, last = list(names) or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last


def quoted(names: Iterable[str]) -> list[str]:
    """Names as a shell takes them: those with blanks in quotes.

    Examples
    --------
    >>> quoted(["update", "first use"])
    ['update', "'first use'"]
    """
    return [repr(name) if " " in name else name for name in names]
