"""torch's scaled_dot_product_attention, in its best form for one query, and in its plain one."""

from __future__ import annotations

from typing import Any

from kvring.bench.attention_rival import AttentionSetup
from kvring.bench.rival import UnsupportedError

__all__ = ["EnableGqa", "Folded"]


class _Sdpa:
    def __init__(self, setup: AttentionSetup) -> None:
        try:
            import torch
        except ImportError as error:
            raise UnsupportedError(f"needs torch ({error})") from None
        self._torch, self._setup = torch, setup
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(setup.threads)

    def load(self, keys: Any, values: Any, query: Any) -> None:
        """Tensors with heads first, each head's rows together; the query in the storage's dtype."""
        from .torch_rows import tensor

        self._keys, self._values = (tensor(rows.swapaxes(1, 2).copy()) for rows in (keys, values))
        self._query = tensor(query.swapaxes(1, 2).copy()).to(self._keys.dtype)

    def shown(self, output: Any) -> Any:
        """As float32."""
        return output.float().numpy()

    def close(self) -> None:
        """As many threads as before."""
        self._torch.set_num_threads(self._threads_before)


class Folded(_Sdpa):
    """The query heads of a KV head stand on the query axis: no repeated K or V, and a fast path."""

    def attend(self) -> Any:
        """One query of each group's heads, per KV head."""
        setup, torch = self._setup, self._torch
        folded = self._query.view(1, setup.kv_heads, -1, setup.head_dim)
        attention = torch.nn.functional.scaled_dot_product_attention
        with torch.no_grad():
            return attention(folded, self._keys, self._values)


class EnableGqa(_Sdpa):
    """The documented way to grouped queries."""

    def attend(self) -> Any:
        """Query heads as they are."""
        attention = self._torch.nn.functional.scaled_dot_product_attention
        with self._torch.no_grad():
            return attention(self._query, self._keys, self._values, enable_gqa=True)
