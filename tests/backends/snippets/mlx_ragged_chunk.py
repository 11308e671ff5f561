import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import BatchRotatingKVCache


def row(*tokens):
    return mx.array(tokens, mx.float32)[None, None, :, None]


cache = BatchRotatingKVCache(max_size=3, left_padding=[0, 0])
prompts = mx.concatenate([row(1, 2, 0), row(11, 0, 0)])  # padded to three
cache.prepare(lengths=[2, 1], right_padding=[1, 2])
cache.update_and_fetch(prompts, prompts)
cache.finalize()
token = mx.concatenate([row(3), row(12)])
cache.update_and_fetch(token, token)
drafts = mx.concatenate([row(4, 5), row(13, 14)])  # two tokens at once, as drafts are verified
mask = np.array(cache.make_mask(2))[1, 0]
keys = np.array(cache.update_and_fetch(drafts, drafts)[0])[1].ravel()
print("batch row 1, token 13 sees", keys[mask[0]].tolist(), "expected: [11.0, 12.0, 13.0]")
