import sys

import llama_cpp as llama

model = llama.llama_model_load_from_file(  # any model with RoPE: python this.py model.gguf
    sys.argv[1].encode(), llama.llama_model_default_params()
)
options = llama.llama_context_default_params()
options.n_ctx, options.n_seq_max, options.kv_unified = 256, 2, True
context = llama.llama_init_from_model(model, options)
memory = llama.llama_get_memory(context)
tokens = (llama.llama_token * 3)(1, 2, 3)
llama.llama_decode(context, llama.llama_batch_get_one(tokens, 3))


def positions(sequence):
    first = llama.llama_memory_seq_pos_min(memory, sequence)
    return first, llama.llama_memory_seq_pos_max(memory, sequence)


llama.llama_memory_seq_cp(memory, 0, 1, -1, -1)  # a second answer to the same prompt
print("sequence 1, positions:", positions(1))
llama.llama_memory_seq_rm(memory, 0, 0, 1)  # sequence 0 drops its oldest token,
llama.llama_memory_seq_add(memory, 0, 1, -1, -1)  # and the others move back
print("sequence 1 after a shift of sequence 0:", positions(1), "expected: (0, 2)")
