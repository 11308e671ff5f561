import torch
from transformers.cache_utils import StaticLayer

layer = StaticLayer(max_cache_len=8)
row = torch.ones(1, 1, 1, 8)
layer.update(row, row)
before = layer.get_seq_length()
print("before:", int(before))
layer.update(row, row)
print("before, looked at after one more token:", int(before), "expected: 1")
layer.crop(before - layer.get_seq_length())  # back to where it was: removes nothing
print("tokens:", int(layer.get_seq_length()), "expected: 1")
