import torch
from transformers import DynamicCache

cache = DynamicCache()
row = torch.ones(1, 1, 1, 8)
cache.update(row, row, 0)
cache.crop(-1)
cache.batch_repeat_interleave(2)
rows = torch.ones(2, 1, 1, 8)
cache.update(rows, rows, 0)  # RuntimeError: the empty tensor still has one batch row
