import mlx.core as mx
import numpy as np
from mlx_lm.models.base import create_attention_mask
from mlx_lm.models.cache import RotatingKVCache

cache = RotatingKVCache(max_size=4, keep=1)


def seen(*tokens):
    """The tokens that each new token may attend to."""
    rows = mx.array(tokens, mx.float32)[None, None, :, None]
    mask = create_attention_mask(mx.zeros((1, len(tokens), 1)), cache)
    keys = np.array(cache.update_and_fetch(rows, rows)[0]).ravel()
    if mask is None or isinstance(mask, str):
        return keys.tolist() if mask is None else "all, causally"
    return [keys[may].tolist() for may in np.array(mask)]


for token in range(1, 7):
    seen(token)
print("one by one, token 7 sees", seen(7), "with token 1, the sink")
print("two at once, 8 and 9 see", seen(8, 9), "where 9 has lost token 1")
