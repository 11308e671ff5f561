import torch
from transformers.cache_utils import QuantizedLayer


class Identity(QuantizedLayer):
    def _quantize(self, tensor, axis):
        return tensor.clone()

    def _dequantize(self, tensor):
        return tensor


def filled(tokens):
    layer = Identity(residual_length=3)
    for token in range(1, tokens + 1):
        row = torch.full((2, 1, 1, 1), float(token))
        layer.update(row, row)
    return layer


new = torch.full((2, 1, 1, 1), 9.0)
for name, call, row in (
    ("repeat", lambda layer: layer.batch_repeat_interleave(2), new.repeat(2, 1, 1, 1)),
    ("select", lambda layer: layer.batch_select_indices(torch.tensor([0])), new[:1]),
):
    for tokens in (1, 2):
        layer = filled(tokens)
        try:
            call(layer)
            print(name, "after", tokens, "tokens:", layer.update(row, row)[0].shape)
        except Exception as error:
            print(name, "after", tokens, "tokens:", type(error).__name__, error)
