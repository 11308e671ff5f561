"""A context of llama.cpp, through `llama-cpp-python`: tokens in, logits and states out."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

import llama_cpp as llama
import numpy as np

from ..kinds.logits import VOCABULARY
from ..observations import UnsupportedError
from .llama_cpp_model import file_of

__all__ = ["LONG", "SEQUENCES", "Context"]

SEQUENCES, LONG = 16, 256
_QUIET = llama.llama_log_callback(lambda level, text, data: None)


@lru_cache
def model(layers: int, window: int) -> Any:
    """Loaded once, and kept."""
    llama.llama_log_set(_QUIET, ctypes.c_void_p(0))
    llama.llama_backend_init()
    options = llama.llama_model_default_params()
    options.n_gpu_layers = 0
    loaded = llama.llama_model_load_from_file(file_of(layers, window).encode(), options)
    if not loaded:
        raise UnsupportedError("this release does not load the model")
    return loaded


class Context:
    """A context, freed with the last backend that uses it."""

    def __init__(self, layers: int, window: int, **options: Any) -> None:
        wanted = llama.llama_context_default_params()
        # K and V as they come; float16 would round them.
        settings = {"n_ctx": LONG, "n_batch": LONG, "n_seq_max": SEQUENCES, "kv_unified": True}
        settings.update(type_k=0, type_v=0, flash_attn_type=0, n_threads=1, n_threads_batch=1)
        for name, value in (settings | options).items():
            if not hasattr(wanted, name):
                raise UnsupportedError(f"this release has no {name}")
            setattr(wanted, name, value)
        self.pointer = llama.llama_init_from_model(model(layers, window), wanted)
        if not self.pointer:
            raise UnsupportedError("this release does not make such a context")
        self.memory = llama.llama_get_memory(self.pointer)

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            llama.llama_free(self.pointer)

    def decode(self, placed: list[tuple[int, int, int]]) -> Any:
        """The logits of (token, position, sequence), in this order."""
        batch = llama.llama_batch_init(len(placed), 0, 1)
        try:
            batch.n_tokens = len(placed)
            for n, (token, position, sequence) in enumerate(placed):
                batch.token[n], batch.pos[n] = token, position
                batch.n_seq_id[n], batch.seq_id[n][0], batch.logits[n] = 1, sequence, 1
            status = llama.llama_decode(self.pointer, batch)
        finally:
            llama.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        logits = llama.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(logits, (len(placed), VOCABULARY)).copy()

    def state(self, sequence: int) -> Any:
        """Of one sequence."""
        size = llama.llama_state_seq_get_size(self.pointer, sequence)
        data = (ctypes.c_uint8 * size)()
        llama.llama_state_seq_get_data(self.pointer, data, size, sequence)
        return data

    def restore(self, data: Any, sequence: int) -> None:
        """As the state of one sequence."""
        if not llama.llama_state_seq_set_data(self.pointer, data, len(data), sequence):
            raise RuntimeError("the state was not taken")

    def state_of_all(self) -> Any:
        """Of the whole context."""
        size = llama.llama_state_get_size(self.pointer)
        data = (ctypes.c_uint8 * size)()
        written = llama.llama_state_get_data(self.pointer, data, size)
        return (ctypes.c_uint8 * written).from_buffer(data)

    def restore_all(self, data: Any) -> None:
        """As the state of the whole context."""
        if llama.llama_state_set_data(self.pointer, data, len(data)) != len(data):
            raise RuntimeError("the state was not taken")
