"""kvring itself, as a decode loop uses it: physical order, unpacked."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import Setup

__all__ = ["HugePages", "Ours"]


class Ours:
    """A `KVCache` behind the protocol."""

    huge_pages = False

    def __init__(self, setup: Setup) -> None:
        from kvring import Append, Circular, KVCache

        self.cache = KVCache(
            layers=setup.layers,
            kv_heads=setup.kv_heads,
            head_dim=setup.head_dim,
            dtype=setup.dtype,
            huge_pages=self.huge_pages,
            strategy=Circular(setup.window) if setup.window else Append(setup.capacity),
        )

    def update(self, layer: int, keys: Any, values: Any) -> tuple[Any, Any]:
        """Rows in slot order; those of an assembled view oldest first."""
        all_keys, all_values = self.cache.update(layer, keys, values, order="physical")
        return all_keys, all_values

    def read(self, layer: int) -> tuple[Any, Any]:
        """Rows in slot order, zero-copy."""
        all_keys, all_values = self.cache.read(layer, order="physical")
        return all_keys, all_values

    def truncate(self, seq_len: int) -> None:
        """Of all layers."""
        self.cache.truncate(seq_len)


class HugePages(Ours):
    """The same in pages of 2 MiB, which are quicker to get from the system."""

    huge_pages = True
