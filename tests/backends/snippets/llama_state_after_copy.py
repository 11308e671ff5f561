import ctypes
import sys

import llama_cpp as llama
import numpy as np

model = llama.llama_model_load_from_file(  # any model: python this.py model.gguf
    sys.argv[1].encode(), llama.llama_model_default_params()
)
words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))


def context():
    options = llama.llama_context_default_params()
    options.n_ctx, options.n_seq_max, options.kv_unified = 512, 2, False
    return llama.llama_init_from_model(model, options)


def logits(held, *tokens):
    """Of the last of some tokens, added to sequence 0."""
    batch = llama.llama_batch_get_one((llama.llama_token * len(tokens))(*tokens), len(tokens))
    llama.llama_decode(held, batch)
    return np.ctypeslib.as_array(llama.llama_get_logits_ith(held, -1), (words,)).copy()


def restored(held, sequence):
    """A new context with the state of a sequence."""
    size = llama.llama_state_seq_get_size(held, sequence)
    data = (ctypes.c_uint8 * size)()
    llama.llama_state_seq_get_data(held, data, size, sequence)
    new = context()
    llama.llama_state_seq_set_data(new, data, size, 0)
    return new


first = context()
logits(first, 1, 2, 3)
llama.llama_memory_seq_cp(llama.llama_get_memory(first), 0, 1, -1, -1)
states = [restored(first, sequence) for sequence in (0, 1)]
expected = logits(first, 4)
for sequence, new in enumerate(states):
    off = np.abs(logits(new, 4) - expected).max()
    print("state of sequence", sequence, "- logits of the next token off by", off)
states.append(restored(first, 1))  # the copy has been carried out by the decode above
print("sequence 1 saved after a decode:", np.abs(logits(states[-1], 4) - expected).max())
