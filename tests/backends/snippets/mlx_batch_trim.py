import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache, trim_prompt_cache

cache = BatchKVCache([0, 0])
cache.prepare(lengths=[1, 3], right_padding=[2, 0])  # prompts of one token and of three
rows = mx.arange(1, 7, dtype=mx.float32).reshape(2, 1, 3, 1)
cache.update_and_fetch(rows, rows)
cache.finalize()
print("trimmed:", trim_prompt_cache([cache], 2), "tokens:", cache.offset.tolist())
print("expected tokens: [0, 1], or nothing trimmed")
