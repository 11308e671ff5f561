import mlx.core as mx
from mlx_lm.models.cache import ConcatenateKVCache

cache = ConcatenateKVCache()
for token in (1, 2):
    row = mx.full((1, 1, 1, 1), token)
    cache.update_and_fetch(row, row)
print("trimmed:", cache.trim(1), "tokens:", cache.offset)
row = mx.full((1, 1, 1, 1), 3)
keys, _ = cache.update_and_fetch(row, row)
print("seen:", keys.flatten().tolist(), "expected: [1, 3]; tokens:", cache.offset)
