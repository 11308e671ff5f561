"""Files as somebody might forge them: changed at will, with checksums that are right again."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np


class Forged:
    """A saved cache taken apart; `signed` puts it together with fresh checksums.

    Attributes
    ----------
    header : dict
        As JSON gives it.
    metadata, config : dict
        The strings in the header, and the configuration among them.
    data : dict of str to bytes
        Of each tensor, in the order of the file.
    """

    def __init__(self, saved: bytes) -> None:
        length = int.from_bytes(saved[:8], "little")
        self.header: dict[str, Any] = json.loads(saved[8 : 8 + length])
        self.metadata = self.header["__metadata__"]
        self.config = json.loads(self.metadata["config"])
        self.data = {
            name: saved[8 + length :][slice(*described["data_offsets"])]
            for name, described in self.header.items()
            if name != "__metadata__"
        }

    def numbers(self, name: str) -> Any:
        """A copy of a tensor of int64 or float64, flat; to be given to `put`."""
        kind = {"I64": np.int64, "F64": np.float64}[self.header[name]["dtype"]]
        return np.frombuffer(self.data[name], kind).copy()

    def put(self, name: str, numbers: Any) -> None:
        """Other data for a tensor, of the same length or another; its shape stays."""
        self.data[name] = np.asarray(numbers).tobytes()

    def set(self, name: str, index: int, number: Any) -> None:
        """Another number in a tensor."""
        numbers = self.numbers(name)
        numbers[index] = number
        self.put(name, numbers)

    def shape(self, name: str, *shape: int) -> None:
        """Another shape for a tensor."""
        self.header[name]["shape"] = list(shape)

    def laid_out(self) -> None:
        """Set all data_offsets anew, so that the tensors follow each other, with a sum for each."""
        self.data["checksums"] = bytes(8 * len(self.data))
        self.shape("checksums", len(self.data))
        start = 0
        for name, data in self.data.items():
            self.header[name]["data_offsets"] = [start, start + len(data)]
            start += len(data)

    def signed(self, header: bytes | None = None) -> bytes:
        """The whole file. `header` takes the place of what the attributes would give."""
        if header is None:
            self.metadata["config"] = json.dumps(self.config)
            header = json.dumps(self.header).encode()
            header += b" " * (-len(header) % 8)
        before = len(header).to_bytes(8, "little") + header
        others = [data for name, data in self.data.items() if name != "checksums"]
        sums = np.array([zlib.crc32(data) for data in others], np.int64).tobytes()
        sums += np.int64(zlib.crc32(sums, zlib.crc32(before))).tobytes()
        return b"".join([before, sums, *others])
