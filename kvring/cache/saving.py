"""save and load: a cache into a file, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DTypeError
from .shared import SharedCache

if TYPE_CHECKING:
    from ..snapshot import Progress

__all__ = ["SavingCache"]

Self = TypeVar("Self", bound="SavingCache")


class SavingCache(SharedCache):
    """The verbs of :class:`kvring.KVCache` that concern files."""

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Write the cache into a file, from which `load` makes one that goes on just the same.

        Parameters
        ----------
        path : str or path
            The file, which is replaced if there is one. Its folder must be there.
        progress : callable, optional
            Called as ``progress(done_bytes, total_bytes)`` now and then, in this thread.

        Raises
        ------
        OSError
            From the system, as it is: no such folder, no permission, no space.
        SnapshotError
            If a layer has a policy of your own that cannot say what it remembers, or `path` is a
            device.
        DTypeError
            If `path` is none.

        Whatever is raised, also by `progress` or by Ctrl-C: what was at `path` is there as before,
        and no other file stays behind.

        Notes
        -----
        The file is a safetensors file with the rows that are resident, written straight from the
        slots; its parts are described in ``docs/file-format.md``. It is written beside `path`,
        synced and renamed: a crash at any moment leaves the old file or the new one.

        Cost: about that of copying and syncing a file of `nbytes_used`. Threads: all layers are
        saved as they are at one moment, between the steps of other threads. Readers go on
        meanwhile; updates and whatever else changes rows wait until the rows are written, but not
        for the disk to sync; ``cache.copy().save(path)`` lets them wait for memory alone.
        """
        from ..snapshot import save_cache

        save_cache(self, _checked_path(path), progress)

    @classmethod
    def load(
        cls: type[Self],
        path: str | os.PathLike[str],
        *,
        policies: Any = None,
        progress: Progress | None = None,
    ) -> Self:
        """Make the cache that `save` wrote: the same rows in the same slots, and all it remembers.

        Parameters
        ----------
        path : str or path
            The file.
        policies : EvictionPolicy, or dict of them by layer, optional
            For layers with a policy of your own: objects like those that the cache was built with.
            They are copied, and each copy is given what its predecessor said of itself, by
            ``from_bytes``.
        progress : callable, optional
            As of `save`.

        Returns
        -------
        KVCache
            Its `stats` start at 0, as those of a copy do.

        Raises
        ------
        OSError
            From the system, as it is: no such file, no permission.
        SnapshotError
            If the file is not whole, was damaged or is of a newer version, if it is no cache, or if
            one of that size cannot be made here. It says what is wrong.
        DTypeError
            If `path` is none.

        Notes
        -----
        Header, counters, positions and policies are checked before anything is built, then rows are
        read straight into their slots, and checked by their sums. Cost: about that of copying the
        file. Memory: that of the resident rows and of their positions, which is less than twice the
        file; where a plane's rows end in the middle of a page, the rest of the page.

        Examples
        --------
        >>> import numpy as np, tempfile, os
        >>> from kvring import Circular, KVCache
        >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Circular(window=3))
        >>> rows = np.arange(5, dtype=np.float32).reshape(1, 5, 1, 1)
        >>> view = cache.update(0, rows, rows)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache.save(os.path.join(folder, "chat.safetensors"))
        ...     twin = KVCache.load(os.path.join(folder, "chat.safetensors"))
        >>> twin.seq_len, twin.read(0).keys.ravel().tolist()
        (5, [2.0, 3.0, 4.0])
        """
        from ..snapshot import load_cache

        return load_cache(cls, _checked_path(path), policies, progress)


def _checked_path(path: Any) -> Path:
    try:
        return Path(os.fsdecode(path))
    except TypeError:
        raise DTypeError(f"path: expected a str or a path, got {path!r:.80}") from None
