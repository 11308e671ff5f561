"""A file written anew: whoever looks finds the old one or the new one, whatever happens meanwhile.

Written under another name in the same folder, synced, renamed, and the folder synced. Whatever is
killed in between leaves the old file, and at worst a file called ``.kvring-...tmp``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from secrets import token_hex

from ..errors import SnapshotError

__all__ = ["replace_file"]

# Folders of some file systems cannot be synced; there is nothing to sync then.
_NOTHING_TO_SYNC = (errno.EINVAL, errno.ENOTSUP)


def replace_file(path: Path, write: Callable[[FileIO], None]) -> None:
    """Have `write` fill a new file, and put it in the place of `path`.

    A link is followed: what it points to is replaced. The new file has the permissions of the old.

    Raises
    ------
    OSError
        From the system: no such folder, no permission, no space. The old file is as it was, and no
        other one stays behind; so with whatever `write` raises, or an interrupt.
    SnapshotError
        If there is something at `path` that is neither a file nor a folder.
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target)
    temporary = target.with_name(f".kvring-{token_hex(8)}.tmp")
    try:
        # Without a buffer: a view of the ring's memory goes to the system as it is.
        with open(temporary, "xb", buffering=0) as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            write(file)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, FileExistsError) and error.filename == temporary:
            raise  # of that name there was one before, and it is somebody else's
        # No call between the two lines: the first interrupt of the way back has to wait.
        try:
            _remove(temporary)
        except KeyboardInterrupt:
            _remove(temporary)
            raise
        raise
    _sync_folder(target.parent)


def _mode_of(target: Path) -> int | None:
    """The permissions of what is there; None if there is nothing."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise SnapshotError(f"{target}: expected a file or nothing, got a device or a pipe")
    return stat.S_IMODE(mode)


def _remove(temporary: Path) -> None:
    with suppress(FileNotFoundError):
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_TO_SYNC:
            raise
    finally:
        os.close(descriptor)
