"""A cache into a file: its records first, then K and V straight from the rings' memory."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._version import __version__
from ..errors import SnapshotError
from .container import encoded
from .describing import described
from .pieces import pieces
from .records import LayerRecord, recorded
from .replacing import replace_file
from .tensors import Counts, arrays_of, entries_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cache.shared import SharedCache

__all__ = ["FORMAT", "VERSION", "Progress", "save_cache", "write_cache"]

FORMAT = "kvring"
VERSION = 1
# After so many bytes the disk begins, or it would have all to do at the end.
EARLY_BYTES = 1 << 25

Progress = Callable[[int, int], object]


def save_cache(cache: SharedCache, path: Path, progress: Progress | None) -> None:
    """Write a file from which `load_cache` makes the same cache. See ``KVCache.save``."""
    check_byte_order()
    replace_file(path, lambda file: write_cache(cache, file, progress))


def check_byte_order() -> None:
    """Files are little-endian, as safetensors is, and rows are written as they are."""
    if sys.byteorder != "little":
        raise SnapshotError("saving and loading need a little-endian machine")


def write_cache(cache: SharedCache, file: FileIO, progress: Progress | None) -> None:
    """Write what `load_cache` reads to an open file, which nobody syncs."""
    with cache._reading_all(lambda: recorded(cache)) as records:
        layers = zip(records, cache.config.layers, strict=True)
        counts = [_counts_of(record) for record, _ in layers]
        entries = entries_of(cache.config, counts)
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "written_by": f"kvring {__version__}",
            "config": described(cache.config, cache._huge_pages),
        }
        before = encoded(entries, metadata)
        total = len(before) + sum(entry.nbytes for entry in entries)
        writer = _Writer(file, total, progress)
        writer.put(before)
        checksums = np.zeros(entries[0].shape, np.int64)
        writer.put(checksums.tobytes())
        arrays = arrays_of(cache.config, records)
        for number, entry in enumerate(entries[1:]):
            found = arrays.get(entry.name)
            given = [_bytes_of(found)] if found is not None else _rows(cache, entry.name, records)
            checksums[number] = writer.put_tensor(given)
        writer.seal(before, checksums)


class _Writer:
    """Bytes into a file, counted, hashed and told of."""

    def __init__(self, file: FileIO, total: int, progress: Progress | None) -> None:
        self._file = file
        self._total = total
        self._progress = progress
        self._done = 0
        self._on_disk = 0
        if total > EARLY_BYTES:
            _reserve(file, total)

    def put(self, piece: memoryview | bytes) -> None:
        rest = memoryview(piece)
        while len(rest):
            rest = rest[self._file.write(rest) :]
        self._done += len(piece)
        if self._done - self._on_disk >= EARLY_BYTES:
            _begin_writing_back(self._file, self._on_disk, self._done)
            self._on_disk = self._done
        if self._progress is not None:
            self._progress(self._done, self._total)

    def put_tensor(self, given: Iterable[memoryview]) -> int:
        """All pieces of a tensor; its checksum."""
        crc = 0
        for piece in given:
            crc = zlib.crc32(piece, crc)
            self.put(piece)
        return crc

    def seal(self, before: bytes, checksums: NDArray[np.int64]) -> None:
        """Put the checksums where there was room left for them, behind what stands before them."""
        checksums[-1] = zlib.crc32(checksums[:-1].tobytes(), zlib.crc32(before))
        self._file.seek(len(before))
        self._file.write(checksums.tobytes())


def _counts_of(record: LayerRecord) -> Counts:
    rows = tuple(state.length for state in record.states)
    of = record.remembered
    if of is None:
        return Counts(rows)
    return Counts(rows, tuple(map(len, of.pins)), sum(map(len, of.policies)))


def _rows(cache: SharedCache, name: str, records: list[LayerRecord]) -> Iterator[memoryview]:
    """The pieces of ``layer.N.keys`` or ``layer.N.values``."""
    _, number, kind = name.split(".")
    ring = cache.rings[int(number)]
    stored = ring._keys if kind == "keys" else ring._values
    return pieces(stored, ring.token_axis, records[int(number)].runs, filling=False)


def _bytes_of(array: NDArray[np.int64]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _reserve(file: FileIO, nbytes: int) -> None:
    """Have the disk say now that it is full, and not after the most of it is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, nbytes)


def _begin_writing_back(file: FileIO, start: int, stop: int) -> None:
    """Have the system begin to write to disk: Linux does, where told that a page is of no use."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), start, stop - start, os.POSIX_FADV_DONTNEED)
