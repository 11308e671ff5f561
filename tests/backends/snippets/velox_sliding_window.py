import mlx.core as mx
from veloxquant_mlx.cache.base import KVCacheConfig, KVCacheFactory

config = KVCacheConfig(method="polar", head_dim=64, sliding_window=4)
window = KVCacheFactory.create(config)
plain = KVCacheFactory.create(KVCacheConfig(method="polar", head_dim=64))
query = mx.zeros(64, mx.float16)  # weighs all keys alike: the output is the mean of the values
for token in range(1, 6):
    for cache in (window, plain):
        cache.append_key(mx.ones(64, mx.float16))
        cache.append_value(mx.full(64, token, mx.float16))
    print(
        f"token {token}, tokens held: {len(window)},",
        f"mean seen: {float(window.attend(query).mean()):.2f}",
        f"(without a window: {float(plain.attend(query).mean()):.2f})",
    )
