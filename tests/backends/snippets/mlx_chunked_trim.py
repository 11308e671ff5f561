import mlx.core as mx
from mlx_lm.models.cache import ChunkedKVCache

cache = ChunkedKVCache(chunk_size=4)


def update(*tokens):
    """As a layer of Llama 4: rows before the chunk go, then the new ones come."""
    cache.maybe_trim_front()
    rows = mx.array(tokens, mx.float32)[None, None, :, None]
    return cache.update_and_fetch(rows, rows)[0].flatten().tolist()


update(0, 1, 2, 3)
update(4, 5)
update(6)
print("is_trimmable:", cache.is_trimmable(), "trim(4) returns:", cache.trim(4))
print("tokens:", cache.offset, "the next one, 3, is of the chunk 0, 1, 2, 3")
print("seen:", update(3), "expected at least: [0.0, 1.0, 2.0, 3.0]")
