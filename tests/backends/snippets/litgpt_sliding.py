import torch
from litgpt import GPT, Config

torch.manual_seed(0)
config = Config(
    block_size=16,
    padded_vocab_size=64,
    n_layer=1,
    n_head=2,
    n_embd=32,
    sliding_window_size=4,
    sliding_window_indices=[1],
)
model = GPT(config).eval()
prompt = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
with torch.no_grad():
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    expected = model(prompt)[0]
    for chunk in (1, 2, 4):  # none longer than the window, as the error of longer ones recommends
        model.clear_kv_cache()
        model.set_kv_cache(batch_size=1)
        parts = []
        for first in range(0, 8, chunk):
            places = torch.arange(first, first + chunk)
            parts.append(model(prompt[:, places], places)[0])
        off = (torch.cat(parts) - expected).abs().amax(1)
        print("chunks of", chunk, "largest difference per token:", off)
