import mlx.core as mx
from mlx_lm.models.cache import RotatingKVCache

cache = RotatingKVCache(max_size=3)
for token in range(1, 6):
    row = mx.full((1, 1, 1, 1), token)
    cache.update_and_fetch(row, row)
print("is_trimmable:", cache.is_trimmable(), "trim(2) returns:", cache.trim(2))
row = mx.full((1, 1, 1, 1), 6)
keys, _ = cache.update_and_fetch(row, row)
print("seen:", sorted(keys.flatten().tolist()), "expected, as 4 and 5 were trimmed: [2, 3, 6]")
