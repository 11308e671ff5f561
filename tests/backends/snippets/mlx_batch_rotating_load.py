import mlx.core as mx
from mlx_lm.models.cache import BatchRotatingKVCache, load_prompt_cache, save_prompt_cache

cache = BatchRotatingKVCache(max_size=4, left_padding=[0])
row = mx.ones((1, 1, 1, 8))
cache.update_and_fetch(row, row)
save_prompt_cache("prompt.safetensors", [cache])
(loaded,) = load_prompt_cache("prompt.safetensors")
loaded.update_and_fetch(row, row)  # AttributeError: no attribute '_lengths'
