"""Where a pool parks sequences on disk: a folder of its own, gone when the pool is.

Names of sequences are any strings and never part of a path: files are named by a hash.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import weakref
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..config import Append
from ..errors import ConfigError, SnapshotError
from ..forking import survives_fork
from ..snapshot import fill_cache, write_cache

if TYPE_CHECKING:
    from .pooled import PooledCache

__all__ = ["SpillFolder"]

PREFIX = "kvring-pool-"
LOCK_NAME = "in-use"  # locked for as long as the process lives that the folder belongs to


class SpillFolder:
    """A new folder inside `parent`, for the files of one pool.

    Parameters
    ----------
    parent : path
        Made if it is not there. What pools of processes that were killed have left in it is
        removed.

    Raises
    ------
    ConfigError
        If no file can be written there.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / f"{PREFIX}{secrets.token_hex(8)}"
        self._lock: list[int] = []
        # First of all: an interrupt from here on leaves nothing behind.
        self.close = weakref.finalize(self, _remove, self.path, self._lock, os.getpid())
        survives_fork(self)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _sweep(parent)
            self._make()
        except OSError as error:
            raise ConfigError(f"spill: cannot write to {parent}: {error}") from None

    def write(self, name: str, cache: PooledCache) -> tuple[Path, tuple[int, ...]]:
        """Write a sequence to its file, with no file left behind if that fails.

        Returns the file, and the mark by which `check` knows it again. Not synced, for the file is
        of no use to a later process.

        Raises
        ------
        OSError, SnapshotError
            As of ``KVCache.save``.
        """
        path = self.path / hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        if not self.close.alive:
            raise FileNotFoundError(errno.ENOENT, "the pool is closed", str(self.path))
        if not self.path.is_dir():
            self._make()  # somebody has cleared up; what was in it is lost, nothing else
        try:
            with path.open("wb", buffering=0) as file:
                write_cache(cache, file, None)
                mark = _mark(os.fstat(file.fileno()))
        except BaseException:
            self.remove(path)
            raise
        return path, mark

    def check(self, path: Path, mark: tuple[int, ...]) -> None:
        """SnapshotError if the file is not the one that `write` wrote; OSError if it is gone."""
        if _mark(path.stat()) != mark:
            raise SnapshotError("the file is another one, or was written to, since it was spilled")

    def read(self, path: Path, cache: PooledCache) -> None:
        """Make an empty cache the sequence of a file; OSError or SnapshotError if it is none."""
        policies = {
            number: of.strategy.eviction
            for number, of in enumerate(cache.config.layers)
            if isinstance(of.strategy, Append)
        }
        fill_cache(cache, path, policies)

    def remove(self, path: Path) -> None:
        """Remove the file of a sequence that is back in memory, or forgotten."""
        with suppress(OSError):  # the folder goes with all that is in it
            path.unlink()

    def _make(self) -> None:
        """Make the folder, for this user alone, with the lock that says it is in use."""
        self.path.mkdir(mode=0o700, parents=True)
        waiting = self.path / f"{LOCK_NAME}.new"
        # The old one is closed with the rest: until then nothing needs its number.
        self._lock.append(os.open(waiting, os.O_CREAT | os.O_RDWR, 0o600))
        fcntl.flock(self._lock[-1], fcntl.LOCK_EX)
        waiting.rename(self.path / LOCK_NAME)  # locked before it has the name that others look for

    def _locks(self) -> list[Lock]:
        return []

    def _after_fork(self) -> None:
        _close(self._lock)  # or the folder would seem in use for as long as the child lives


def _mark(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sweep(parent: Path) -> None:
    """Remove folders whose processes are gone."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder / LOCK_NAME, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _remove(folder: Path, lock: list[int], process: int) -> None:
    """Remove a folder, unless this is a process forked from its owner."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
    _close(lock)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        with suppress(OSError):
            os.close(descriptors.pop())
