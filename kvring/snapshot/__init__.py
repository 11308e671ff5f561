"""Saved caches: a safetensors file that holds all there is to a cache, and nothing else.

Whatever reads safetensors reads K, V and positions; see ``docs/file-format.md``. Only kvring makes
a cache of it again, bit for bit, that goes on as the saved one would have.
"""

from __future__ import annotations

from .loading import fill_cache, load_cache
from .writing import Progress, save_cache, write_cache

__all__ = ["Progress", "fill_cache", "load_cache", "save_cache", "write_cache"]
