"""The cache: where strategies and rings meet.

:class:`KVCache` is put together from one class a file, each built on the one before it: `facts`
(what it says of itself), `whole` (all layers at once), `forget` (who shall stay), `surgery` (batch
rows), `resizing`, `shared` (readings and steps), `saving`, `careful` (updates with every check) and
`kv_cache` (the fast ones). `steps` has the plan that all layers share.
"""

from .kv_cache import KVCache

__all__ = ["KVCache"]
