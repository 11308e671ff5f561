from types import SimpleNamespace

import mlx.core as mx
from moshi_mlx.modules.kv_cache import RotatingKVCache
from moshi_mlx.modules.transformer import Attention

# Small numbers for what config_v0_1 has as context=3000, max_seq_len=4096.
config = SimpleNamespace(d_model=1, num_heads=1, head_dim=1, kv_repeat=1, context=3, max_seq_len=5)
attention = Attention(SimpleNamespace(**vars(config), bias_attn=False, positional_embedding="none"))
cache = RotatingKVCache(config.head_dim, 1, max_size=config.max_seq_len)
attention.out_proj = lambda rows: rows
for token in range(1, 9):
    # Query and key are 0, so that the output is the mean of the values that are seen.
    attention.in_proj = lambda _, token=token: mx.array([0.0, 0.0, float(token)])[None, None]
    output = attention(mx.zeros((1, 1, 1)), cache).item()
    expected = [float(n) for n in range(max(token - 3, 1), token + 1)]
    print(token, "mean seen:", round(output, 3), "expected:", sum(expected) / len(expected))
