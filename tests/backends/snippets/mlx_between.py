import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache

cache = BatchKVCache([0, 0])
cache.prepare(lengths=[1, 2], right_padding=[1, 0])
rows = mx.arange(1, 5, dtype=mx.float32).reshape(2, 1, 2, 1)
cache.update_and_fetch(rows, rows)
cache.filter([0])  # the second sequence leaves before finalize
cache.finalize()
print(
    "batch row 0:",
    cache.offset.tolist(),
    "tokens,",
    cache.keys.shape[0],
    "batch rows, expected: [1] and 1",
)
