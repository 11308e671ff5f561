"""A saved cache looked at without making a cache of it: its header and its small tensors."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SnapshotError
from ..eviction import EvictionPolicy
from .container import LENGTH_BYTES, Entry, decoded, header_length, parsed
from .describing import OWN_POLICY, rebuilt
from .tensors import check_counted, check_entries, counts_of, entries_of, leading_entries
from .writing import FORMAT, VERSION, check_byte_order

__all__ = ["Peek"]

_PIECE = 1 << 20
_LARGE = (".keys", ".values")


class Peek:
    """What a file says of itself, checked as far as it was read.

    Parameters
    ----------
    path : Path
        Of a file that `KVCache.save` wrote.

    Raises
    ------
    SnapshotError
        If it is no such file, of another version, or its header is damaged.
    OSError
        If it cannot be read.

    Notes
    -----
    Cost: the header and no rows, whatever the file's size. A policy of one's own need not be there.
    `KVCache.load` refuses more: it holds all that a file says of a layer against the contract.
    """

    def __init__(self, path: Path) -> None:
        check_byte_order()
        if path.exists() and not path.is_file():
            raise SnapshotError("expected a file, got a folder, a device or a pipe")
        self.path = path
        self.nbytes = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(LENGTH_BYTES)
            header = file.read(header_length(first, self.nbytes))
            self._start = len(first) + len(header)
            self.metadata, self.entries = decoded(header, self.nbytes - self._start)
            self._check_kind()
            checksums = file.read(self.entries[0].nbytes)
        if len(checksums) < self.entries[0].nbytes:
            raise SnapshotError("truncated: the file ends before its data")
        if zlib.crc32(checksums[:-8], zlib.crc32(first + header)) != _numbers(checksums)[-1]:
            raise SnapshotError("damaged: the checksum of the header is another")
        self._checksums = dict(zip(self.entries[1:], _numbers(checksums), strict=False))
        self._check_tensors(self.metadata.get("config", ""))

    def numbers(self, name: str) -> list[int]:
        """An int64 tensor, flat, if its checksum is right; an empty list if there is none."""
        return _numbers(self._checked(name)) if self._place(name) else []

    def verify(self, progress: Callable[[int, str], None]) -> None:
        """Read everything, and compare every checksum.

        Raises
        ------
        SnapshotError
            For the first tensor whose bytes are others than those that were written.
        """
        for done, entry in enumerate(self.entries[1:]):
            progress(done, entry.name)
            self._compare(entry, (piece for piece in self._pieces(entry)))

    def _check_kind(self) -> None:
        found = self.metadata.get("format", "unknown")
        if found != FORMAT:
            raise SnapshotError(
                f"expected a cache saved by kvring, got a file of format {found!r:.80}"
            )
        version = self.metadata.get("version", "")
        if version != str(VERSION):
            raise SnapshotError(f"version {version!r:.40} of the format, expected {VERSION}")
        if not self.entries or self.entries[0].name != "checksums":
            raise SnapshotError("header: expected checksums first")
        check_entries([Entry("checksums", "I64", (len(self.entries),))], self.entries[:1])

    def _check_tensors(self, text: str) -> None:
        """That the configuration is one, and that the tensors are those of such a cache."""
        self.config: dict[str, Any] = parsed(text, "config")
        config, _ = rebuilt(text, _stand_ins(self.config))
        leading = leading_entries(config)
        check_entries(leading, self.entries[: len(leading)])
        counted = {}
        for entry in leading[1:]:
            counted[entry.name] = np.array(self.numbers(entry.name)).reshape(entry.shape)
            check_counted(entry.name, counted[entry.name])
        check_entries(entries_of(config, counts_of(config, counted)), self.entries)

    def _checked(self, name: str) -> bytes:
        place = self._place(name)
        assert place is not None
        data = b"".join(self._pieces(place))
        self._compare(place, iter([data]))
        return data

    def _place(self, name: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.name == name), None)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        before = self.entries[: self.entries.index(entry)]
        with self.path.open("rb") as file:
            file.seek(self._start + sum(other.nbytes for other in before))
            left = entry.nbytes
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise SnapshotError("truncated: the file ends before its data")
                left -= len(piece)
                yield piece

    def _compare(self, entry: Entry, pieces: Iterator[bytes]) -> None:
        crc = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
        if crc != self._checksums.get(entry):
            raise SnapshotError(f"damaged: the checksum of {entry.name} is another")


def _numbers(data: bytes) -> list[int]:
    return memoryview(data[: len(data) // 8 * 8]).cast("q").tolist()


def _stand_ins(config: dict[str, Any]) -> dict[int, EvictionPolicy]:
    """For each layer with a policy of one's own one that does nothing, of a class so named."""
    layers, found = config.get("layers"), {}
    for number, layer in enumerate(layers if isinstance(layers, list) else ()):
        told = layer.get("eviction") if isinstance(layer, dict) else None
        if isinstance(told, dict) and told.get("policy") == OWN_POLICY:
            name = told.get("class")
            if not isinstance(name, str) or not name.isprintable():
                raise SnapshotError(f"config: policy of layer {number}: expected a class's name")
            found[number] = type(name, (EvictionPolicy,), {})()
    return found
