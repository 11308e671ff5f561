import torch
from litgpt import GPT, Config

torch.manual_seed(0)
config = Config(
    block_size=16,
    padded_vocab_size=64,
    n_layer=1,
    n_head=2,
    n_embd=32,
    attention_logit_softcapping=50.0,  # as Gemma 2
)
model = GPT(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.set_kv_cache(batch_size=1)
    places = torch.arange(4)
    for last in (4, 5):
        prompt = torch.tensor([[1, 2, 3, last]])
        without = model(prompt)[0, 0]
        cached = model(prompt, places, input_pos_maxp1=4)[0, 0]
        print("first token's logits, no cache:", without[:3], "cache:", cached[:3])
print("with the cache the first token sees the last: its logits change with it")
