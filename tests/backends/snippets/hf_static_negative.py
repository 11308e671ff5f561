import torch
from transformers.cache_utils import StaticLayer

layer = StaticLayer(max_cache_len=8)
row = torch.ones(1, 1, 1, 8)
layer.update(row, row)
layer.crop(-3)
print("tokens:", int(layer.get_seq_length()), "expected: 0, or an error")
