"""Rows as torch tensors, for the rivals that are built on torch; no rival itself."""

from __future__ import annotations

from typing import Any

from kvring.bench.rival import UnsupportedError

__all__ = ["TorchRows", "imported_layers", "tensor"]


def imported_layers() -> Any:
    """The module of transformers that holds its cache layers."""
    try:
        import torch
        import transformers.cache_utils
    except ImportError as error:
        raise UnsupportedError(f"needs torch and transformers ({error})") from None
    # One thread, as everybody has here: a copy over two waits for the slower one, on a busy machine
    # a hundred times as long as it takes.
    torch.set_num_threads(1)
    return transformers.cache_utils


def tensor(array: Any) -> Any:
    """A tensor on the same memory, where NumPy's dtype may be one that torch knows by itself."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)


class TorchRows:
    """What all rivals with heads-first tensors have in common."""

    layout = "BHSD"

    def given(self, array: Any) -> Any:
        """A tensor of its own memory."""
        return tensor(array.copy())

    def shown(self, kept: Any) -> Any:
        """The tensor's memory as an array."""
        return kept.numpy()
