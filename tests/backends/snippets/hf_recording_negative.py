import torch
from transformers.cache_utils import DynamicSlidingWindowLayer

for recording in (False, True):
    layer = DynamicSlidingWindowLayer(sliding_window=2)
    if recording:
        layer.activate_past_recording()
    row = torch.ones(1, 1, 1, 1)
    layer.update(row, row)
    layer.update(row, row)
    try:
        layer.crop(-3)
    except Exception as error:
        print("refused:", error)
    print("recording:", recording, "tokens:", layer.get_seq_length(), "expected: 0, or an error")
