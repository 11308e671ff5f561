"""The caches of many sequences under one budget of memory.

:class:`CachePool` leases caches (`lease`, `pooled`); the `keeper` admits their growth and makes
room for it by `moving` sequences out of memory, to a `spill` or away; the `book` knows who is
where. `pages` and `committed` count what the system has given.
"""

from .pool import CachePool

__all__ = ["CachePool"]
