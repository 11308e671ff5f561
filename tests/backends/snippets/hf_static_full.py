import torch
from transformers.cache_utils import StaticLayer

layer = StaticLayer(max_cache_len=2)
rows = torch.ones(1, 1, 2, 8)
layer.update(rows, rows)
try:
    layer.update(rows[:, :, :1], rows[:, :, :1])
except IndexError as error:
    print("refused:", error)
print("tokens:", int(layer.get_seq_length()), "expected: 2")
