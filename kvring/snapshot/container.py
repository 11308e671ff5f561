"""The container: a safetensors file, as bytes on one side and named tensors on the other.

Eight bytes say how long the header is, the header is JSON, and the tensors follow without gaps::

    18 01 00 00 00 00 00 00 {"__metadata__":{...},"seq_lens":{"dtype":"I64",...},...} data

What comes from a file is believed of nothing: everything here that reads answers with values that
have been checked, or raises SnapshotError.
"""

from __future__ import annotations

import json
import re
from math import prod
from typing import Any, NamedTuple, NoReturn

from ..errors import SnapshotError

__all__ = [
    "ALIGNMENT",
    "LENGTH_BYTES",
    "Entry",
    "checked_int",
    "decoded",
    "encoded",
    "header_length",
    "parsed",
]

LENGTH_BYTES = 8
# What the deepest cache needs is below one MiB; a longer header is no header of kvring.
MOST_HEADER_BYTES = 1 << 21
# JSON of that length could be a million empty lists, which take forty times as much memory.
MOST_VALUES = 100_000
ALIGNMENT = 8
# A count of bytes or tokens of more digits than this fits no machine.
MOST_DIGITS = 18
# Bytes of an element; all names that kvring writes.
WIDTHS = {
    **dict.fromkeys(("I8", "U8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
_METADATA = "__metadata__"
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}
_VALUE_ENDS = re.compile(rb"[,:\[{]")


class Entry(NamedTuple):
    """One tensor of the file: its name, its dtype in the words of safetensors, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return prod(self.shape) * WIDTHS[self.dtype]


def encoded(entries: list[Entry], metadata: dict[str, str]) -> bytes:
    """Everything that stands before the data: the header's length, and the header."""
    header: dict[str, Any] = {_METADATA: metadata}
    start = 0
    for entry in entries:
        stop = start + entry.nbytes
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MOST_HEADER_BYTES:
        raise SnapshotError(
            f"the description of this cache takes {len(text):,} bytes, expected at most"
            f" {MOST_HEADER_BYTES:,}; use fewer layers with different arguments"
        )
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def header_length(first: bytes, file_nbytes: int) -> int:
    """How long the header is, by the first eight bytes of a file of `file_nbytes`."""
    if len(first) < LENGTH_BYTES:
        raise SnapshotError(f"too short: expected {LENGTH_BYTES} bytes and more, got {len(first)}")
    length = int.from_bytes(first, "little")
    if length > MOST_HEADER_BYTES:
        raise SnapshotError(
            f"header: expected at most {MOST_HEADER_BYTES:,} bytes, its length says {length:,};"
            f" this is no file of kvring, or it is damaged"
        )
    if LENGTH_BYTES + length > file_nbytes:
        raise SnapshotError(
            f"truncated: the header alone takes {LENGTH_BYTES + length:,} bytes, the file has"
            f" {file_nbytes:,}"
        )
    return length


def decoded(header: bytes, data_nbytes: int) -> tuple[dict[str, str], list[Entry]]:
    """Metadata and tensors, in the order of their data, if they fill the file exactly."""
    found = parsed(header, "header")
    metadata = found.pop(_METADATA, {})
    if not all(isinstance(value, str) for value in _dict(metadata, _METADATA).values()):
        raise SnapshotError(f"header: expected strings in {_METADATA}, got other values")
    placed = sorted((_placed(name, value) for name, value in found.items()), key=lambda p: p[:2])
    end = 0
    for start, stop, entry in placed:
        if start != end:
            what = "overlaps the one before" if start < end else "leaves a gap before it"
            raise SnapshotError(f"header: tensor {entry.name!r:.80} {what}")
        if stop - start != entry.nbytes:
            raise SnapshotError(
                f"header: tensor {entry.name!r:.80} takes {stop - start:,} bytes, its shape says"
                f" {entry.nbytes:,}"
            )
        end = stop
    if end != data_nbytes:
        what = "truncated" if end > data_nbytes else "bytes behind the end"
        raise SnapshotError(f"{what}: expected {end:,} bytes of data, got {data_nbytes:,}")
    return metadata, [entry for _, _, entry in placed]


def _placed(name: str, value: Any) -> tuple[int, int, Entry]:
    """First byte, byte behind the last, and the tensor itself."""
    described = _dict(value, f"tensor {name!r:.80}")
    where = f"tensor {name!r:.80}"
    if set(described) != _ENTRY_KEYS:
        raise SnapshotError(f"header: {where}: expected {sorted(_ENTRY_KEYS)}, got other keys")
    dtype = described["dtype"]
    if not isinstance(dtype, str) or dtype not in WIDTHS:
        raise SnapshotError(
            f"header: {where}: expected a dtype that kvring writes, got {dtype!r:.80}"
        )
    shape = _ints(described["shape"], f"shape of {where}")
    places = _ints(described["data_offsets"], f"data_offsets of {where}")
    if len(places) != 2 or places[0] > places[1] or len(shape) > 4:
        raise SnapshotError(f"header: {where}: a shape or data_offsets that no tensor has")
    return places[0], places[1], Entry(name, dtype, tuple(shape))


def parsed(text: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object, without doubled keys, NaN, or numbers and nesting beyond all use."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if len(_VALUE_ENDS.findall(raw)) > MOST_VALUES:
        raise SnapshotError(f"{what}: more than {MOST_VALUES:,} values")
    try:
        found = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_doubles,
            parse_int=_parsed_int,
            parse_constant=_refused_constant,
        )
    except RecursionError:
        raise SnapshotError(f"{what}: nested deeper than anything that kvring writes") from None
    except SnapshotError as error:
        raise SnapshotError(f"{what}: {error}") from None
    except ValueError as error:  # JSON's own, and that of a wrong UTF-8
        raise SnapshotError(f"{what}: expected JSON, got {error}") from None
    return _dict(found, what)


def checked_int(value: object, what: str, least: int = 0) -> int:
    """`value` if it is an integer of at least `least`."""
    if type(value) is not int or value < least:
        raise SnapshotError(f"{what}: expected an integer of at least {least}, got {value!r:.80}")
    return value


def _dict(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SnapshotError(f"{what}: expected an object, got {type(value).__name__}")
    return value


def _ints(value: object, what: str) -> list[int]:
    if not isinstance(value, list):
        raise SnapshotError(f"{what}: expected a list, got {type(value).__name__}")
    return [checked_int(number, what) for number in value]


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise SnapshotError(f"{name!r:.80} stands there twice")
        found[name] = value
    return found


def _parsed_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise SnapshotError(f"a number of {len(digits)} digits")
    return int(digits)


def _refused_constant(name: str) -> NoReturn:
    raise SnapshotError(f"{name} is no number that kvring writes")
