import torch
from transformers.cache_utils import DynamicSlidingWindowLayer

layer = DynamicSlidingWindowLayer(sliding_window=3)
layer.activate_past_recording()
for token in range(1, 7):
    row = torch.full((1, 1, 1, 1), float(token))
    layer.update(row, row)
layer.crop(-1)  # token 6
layer.crop(-1)  # token 5; tokens 3 and 4 are what the next query should see
print("stored:", layer.keys.flatten().tolist(), "expected: [3.0, 4.0]")
row = torch.full((1, 1, 1, 1), 7.0)
sizes = layer.get_mask_sizes(1)
print("mask for", sizes[0], "rows;", "returned:", layer.update(row, row)[0].shape[2])
