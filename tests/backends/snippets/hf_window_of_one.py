import torch
from transformers.cache_utils import DynamicSlidingWindowLayer

layer = DynamicSlidingWindowLayer(sliding_window=1)
for token in (1.0, 2.0, 3.0):
    row = torch.full((1, 1, 1, 1), token)
    length, _ = layer.get_mask_sizes(1)
    keys, _ = layer.update(row, row)
    print("mask for", length, "rows; returned:", keys.flatten().tolist())
