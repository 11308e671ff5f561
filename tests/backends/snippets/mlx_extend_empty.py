import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import BatchRotatingKVCache

batch = BatchRotatingKVCache(max_size=2, left_padding=[0])
for token in (1, 2):
    row = mx.full((1, 1, 1, 1), token, mx.float32)
    batch.update_and_fetch(row, row)
batch.extend(BatchRotatingKVCache(max_size=2, left_padding=[0]))  # a new, empty sequence
row = mx.array([3.0, 11.0])[:, None, None, None]
batch.update_and_fetch(row, row)
rows = mx.array([[4.0, 5.0], [12.0, 13.0]])[:, None, :, None]
mask = np.array(batch.make_mask(2))[1, 0]
keys = np.array(batch.update_and_fetch(rows, rows)[0])[1].ravel()
print("batch row 1, token 12 sees", keys[mask[0]].tolist(), "expected: [11.0, 12.0]")
