"""A file into a cache: all that can be is checked first, then rows go straight into the rings."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..config import Append, CacheConfig
from ..errors import SnapshotError
from ..memory import HUGE_PAGE_BYTES, ask_for_huge_pages
from ..strategy import strategy_for
from .consistent import check_evicting, check_plain
from .container import LENGTH_BYTES, Entry, decoded, header_length
from .describing import rebuilt
from .pieces import pieces
from .records import LayerRecord, restore, runs_in, runs_of
from .tensors import (
    check_counted,
    check_entries,
    counts_of,
    entries_of,
    has_own_policy,
    leading_entries,
    record_from,
)
from .writing import FORMAT, VERSION, Progress, check_byte_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..cache.shared import SharedCache
    from ..config import Mode
    from ..plan import Move
    from ..rows import LayerState
    from ..strategy import Strategy

__all__ = ["fill_cache", "load_cache"]

_ROWS = (".keys", ".values")
Cache = TypeVar("Cache", bound="SharedCache")
_TYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "U8": np.dtype("u1"),
}


def load_cache(cls: type[Cache], path: Path, policies: Any, progress: Progress | None) -> Cache:
    """Make the cache that `save_cache` wrote. See ``KVCache.load``."""
    return _loaded(
        path, policies, progress, lambda config, huge_pages: _built(cls, config, huge_pages)
    )


def fill_cache(cache: SharedCache, path: Path, policies: Any) -> None:
    """Make an empty cache, whose memory is at its disposal, what the file says.

    Raises
    ------
    SnapshotError, OSError
        As of ``KVCache.load``, and if the file is that of a cache built otherwise. The cache may
        have any bytes in its slots then, but no rows.
    """

    def same(config: CacheConfig, _: bool) -> SharedCache:
        if config != cache.config:
            raise SnapshotError("expected a cache built like this one, got another configuration")
        return cache

    _loaded(path, policies, None, same)


def _loaded(
    path: Path, policies: Any, progress: Progress | None, make: Callable[[CacheConfig, bool], Cache]
) -> Cache:
    check_byte_order()
    # A pipe would be waited for; and what is no file has no size.
    with open(path, "rb", buffering=0, opener=_opened) as file:
        try:
            return _Loading(file, policies, progress).cache(make)
        except SnapshotError as error:
            raise SnapshotError(f"{path}: {error}") from error.__cause__


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise SnapshotError(f"{path}: expected a file, got a device or a pipe")


class _Loading:
    """One file on its way to a cache."""

    def __init__(self, file: FileIO, policies: Any, progress: Progress | None) -> None:
        self._file = file
        self._policies = policies
        self._progress = progress
        self._nbytes = os.fstat(file.fileno()).st_size
        self._done = 0

    def cache(self, make: Callable[[CacheConfig, bool], Cache]) -> Cache:
        """The cache, after everything that could be wrong has been looked for."""
        self._read_header()
        self._read_leading()
        records = self._read_records()
        early = self._huge_pages and not self._sparse(records)
        cache = make(self._config, early)
        self._read_rows(cache, records)
        if self._huge_pages and not early:
            cache._huge_pages = True
            for ring in cache.rings:
                ask_for_huge_pages(ring._keys)
                ask_for_huge_pages(ring._values)
        shared: dict[LayerState, Move] = {}
        both = zip(cache._strategies, records, strict=True)
        cache._ledger[:] = [restore(strategy, record, shared) for strategy, record in both]
        return cache

    def _sparse(self, records: list[LayerRecord]) -> bool:
        """Whether huge pages would take much more than the rows that come into them."""
        apart = self._config.layout == "BHSD"
        planes = sum(2 * (of.kv_heads if apart else 1) for of in self._config.layers)
        runs = max((len(of) for record in records for of in record.runs), default=0)
        return 2 * planes * self._config.batch * (runs + 1) * HUGE_PAGE_BYTES > self._nbytes

    def _read_header(self) -> None:
        first = self._read(min(LENGTH_BYTES, self._nbytes))
        header = self._read(header_length(first, self._nbytes))
        metadata, self._entries = decoded(header, self._nbytes - self._done)
        if metadata.get("format") != FORMAT:
            raise SnapshotError(
                f"expected a cache saved by kvring, got a file of format"
                f" {metadata.get('format', 'unknown')!r:.80}"
            )
        version = metadata.get("version", "")
        if version != str(VERSION):
            newer = version.isascii() and version.isdigit() and int(version[:9]) > VERSION
            raise SnapshotError(
                f"version {version!r:.40} of the format, expected {VERSION}"
                + ("; use a newer kvring, the file was written by one" if newer else "")
            )
        self._before = first + header
        self._config, self._huge_pages = rebuilt(metadata.get("config", ""), self._policies)

    def _read_leading(self) -> None:
        """The checksums, verified, and the tensors that say how large the others are."""
        leading = leading_entries(self._config)
        self._leading, self._checked = len(leading), 0
        check_entries(leading, self._entries[: len(leading)])
        self._arrays: dict[str, NDArray[Any]] = {}
        checksums = self._read(leading[0].nbytes)
        crc = zlib.crc32(checksums[:-8], zlib.crc32(self._before))
        self._checksums = np.frombuffer(checksums, _TYPES["I64"]).tolist()
        if self._checksums[-1] != crc:
            raise SnapshotError("damaged: the checksum of the header is another")
        for entry in leading[1:]:
            self._read_array(entry)
            check_counted(entry.name, self._arrays[entry.name])
        counts = counts_of(self._config, self._arrays)
        check_entries(entries_of(self._config, counts), self._entries)

    def _read_records(self) -> list[LayerRecord]:
        """What the file says of each layer, checked; in plain layers without the positions."""
        records = []
        plain: dict[Mode, Strategy] = {}
        small = [e for e in self._entries[self._leading :] if not e.name.endswith(_ROWS)]
        for number, of_layer in enumerate(self._config.layers):
            while small and small[0].name.startswith(f"layer.{number}."):
                self._read_array(small.pop(0))
            record = record_from(self._config, number, self._arrays)
            mode = of_layer.strategy
            self._check_counts(number, mode)
            if isinstance(mode, Append) and mode.eviction is not None:
                check_evicting(number, mode, record)
                runs = tuple(map(runs_of, record.remembered.slots if record.remembered else ()))
                records.append(record._replace(runs=runs))
                continue
            if mode not in plain:
                plain[mode] = strategy_for(mode)
            check_plain(number, mode, plain[mode], record)
            runs = runs_in(plain[mode], record.states)
            records.append(record._replace(runs=runs, positions=()))
            del self._arrays[f"layer.{number}.positions"]
        return records

    def _check_counts(self, number: int, mode: Mode) -> None:
        """That a layer is said to have nothing that its mode has no use for."""
        evicting = getattr(mode, "eviction", None) is not None
        for name, used, what in (
            ("clocks", evicting, "a clock"),
            ("pin_counts", evicting, "pins"),
            ("policy_nbytes", has_own_policy(mode), "a policy of its own"),
        ):
            if not used and self._arrays[name][number].any():
                raise SnapshotError(f"{name}: a layer without {what}, {number}, has some")

    def _read_rows(self, cache: SharedCache, records: list[LayerRecord]) -> None:
        entries = iter(self._entries[-2 * len(records) :])
        for ring, record in zip(cache.rings, records, strict=True):
            for stored in (ring._keys, ring._values):
                crc = 0
                for piece in pieces(stored, ring.token_axis, record.runs, filling=True):
                    self._fill(piece)
                    crc = zlib.crc32(piece, crc)  # while the processor has it at hand
                self._check_sum(next(entries), crc)

    def _read_array(self, entry: Entry) -> None:
        array = np.empty(entry.shape, _TYPES[entry.dtype])
        flat = array.reshape(-1).view(np.uint8).data
        self._fill(flat)
        self._check_sum(entry, zlib.crc32(flat))
        self._arrays[entry.name] = array

    def _check_sum(self, entry: Entry, crc: int) -> None:
        number, self._checked = self._checked, self._checked + 1
        if self._checksums[number] != crc:
            raise SnapshotError(f"damaged: the checksum of {entry.name} is another")

    def _read(self, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        self._fill(memoryview(data))
        return bytes(data)

    def _fill(self, piece: memoryview) -> None:
        rest = piece
        while len(rest):
            count = self._file.readinto(rest)
            if not count:
                raise SnapshotError("truncated: the file ends before its data")
            rest = rest[count:]
        self._done += len(piece)
        if self._progress is not None:
            self._progress(self._done, self._nbytes)


def _built(cls: type[Cache], config: CacheConfig, huge_pages: bool) -> Cache:
    """An empty cache of that configuration."""
    cache = cls.__new__(cls)
    try:
        cache._build(config, huge_pages)
    except (MemoryError, OverflowError, ValueError) as error:  # ConfigError is one of the last
        raise SnapshotError(f"no cache of this size can be made here: {error}") from error
    return cache
