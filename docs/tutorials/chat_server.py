"""A chat server that parks idle chats on disk and keeps within its own limit of memory."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "smollm2"))
from model import Model
from tokenizer import TextTokenizer
from weights import ModelFile, find_model_file, read_hyperparameters, read_weights

from kvring import Append, CachePool


class ChatServer:
    """One model for all, a sequence of a pool for each chat."""

    def __init__(self, budget_bytes: int, spill: str) -> None:
        file = ModelFile(find_model_file())
        shape = read_hyperparameters(file)
        self.model = Model(shape, read_weights(file, shape.layers))
        self.tokenizer = TextTokenizer(file)
        config = {"layers": shape.layers, "kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
        limit = {"budget_bytes": budget_bytes, "spill": spill}
        self.pool = CachePool(**config, **limit, layout="BHSD", strategy=Append(8192))

    def say(self, chat: str, text: str, tokens: int = 32) -> str:
        """Add a message to a chat, new or parked or still in memory, and answer it."""
        said = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        answer: list[int] = []
        with self.pool.lease(chat, timeout=60) as cache:
            hidden = self.model.forward(self.tokenizer.encode(said), cache)
            while len(answer) < tokens:
                token = int(np.argmax(self.model.logits(hidden[-1:])[0]))
                if token in self.tokenizer.stop_tokens:
                    break
                answer.append(token)
                hidden = self.model.forward([token], cache)
        return self.tokenizer.decode(answer)
