import mlx.core as mx
from mlx_lm.models.cache import BatchKVCache

cache = BatchKVCache([0])
cache.prepare(lengths=[1], right_padding=[1])  # one token, and a column of padding
rows = mx.array([1.0, 0.0]).reshape(1, 1, 2, 1)
cache.update_and_fetch(rows, rows)
cache.extend(BatchKVCache([0]))  # an empty sequence joins before finalize
cache.finalize()
print("tokens:", cache.offset.tolist(), "expected: [1, 0]")

new = mx.array([2.0, 9.0]).reshape(2, 1, 1, 1)
mask = cache.make_mask(1)[1].flatten().tolist()
keys, _ = cache.update_and_fetch(new, new)
seen = [key for key, may in zip(keys[1].flatten().tolist(), mask, strict=True) if may]
print("batch row 1, token 9 sees", seen, "expected: [9.0]")
