import torch
from transformers.generation.continuous_batching.utils import build_attention_mask

for window in (1, 2):
    mask = torch.zeros(3, 3)
    build_attention_mask(mask, [0, 3], [0, 3], sliding_window=window)
    print("window", window, "each query sees:", (mask == 0).sum(1).tolist())
print("expected for a window of 1: [1, 1, 1]")
