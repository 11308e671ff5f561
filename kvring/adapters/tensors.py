"""Torch tensors as arrays and arrays as tensors, over the same memory in both directions.

NumPy has no bfloat16 of its own: those bits travel as uint16 and are named again on the other side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ml_dtypes import bfloat16

from ..errors import ConfigError, DTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["array_of", "dtype_of", "tensor_of"]

BFLOAT16 = np.dtype(bfloat16)
STORED: dict[Any, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float16: np.dtype(np.float16),
    torch.float64: np.dtype(np.float64),
    torch.bfloat16: BFLOAT16,
}


def dtype_of(tensor: torch.Tensor) -> np.dtype[Any]:
    """The dtype that stores a tensor's elements bit for bit.

    Raises
    ------
    DTypeError
        If there is none.
    """
    found = STORED.get(tensor.dtype)
    if found is None:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in STORED)
        raise DTypeError(f"expected keys and values of {known}, got {tensor.dtype}")
    return found


def array_of(tensor: torch.Tensor) -> NDArray[Any]:
    """The memory of a tensor on the CPU as an array of its shape and strides; nothing is copied.

    Raises
    ------
    ConfigError
        If the tensor lives elsewhere.
    """
    if tensor.requires_grad:
        tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16:
        tensor = tensor.view(torch.uint16)
        return np.ndarray.view(_on_cpu(tensor), BFLOAT16)
    return _on_cpu(tensor)


def tensor_of(array: NDArray[Any]) -> torch.Tensor:
    """The memory of an array as a tensor; nothing is copied. Do not write to it: others read it."""
    if array.dtype is BFLOAT16:
        return torch.from_dlpack(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_dlpack(array)


def _on_cpu(tensor: torch.Tensor) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.numpy()
    except (TypeError, RuntimeError):
        raise ConfigError(
            f"expected tensors on the CPU, got {tensor.device} ({tensor.layout}); move the model"
            f" with model.to('cpu')"
        ) from None
    return array
