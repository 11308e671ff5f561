import mlx.core as mx
from mlx_lm.models.cache import KVCache, trim_prompt_cache

cache = KVCache()
row = mx.ones((1, 1, 1, 1))
cache.update_and_fetch(row, row)
print("trimmed:", trim_prompt_cache([cache], -2), "tokens:", cache.offset, "expected: 1")
keys, _ = cache.update_and_fetch(row, row)
print("seen:", keys.flatten().tolist(), "expected: [1.0, 1.0]")
