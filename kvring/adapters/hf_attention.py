"""``attn_implementation="kvring"``: attention that reads a RingCache in place, and its masks.

Steps of few tokens run :func:`kvring.attend` on the rows where they lie. Prompts, and whatever
`attend` does not do, run in torch on the same rows. The two know each other by marks: the tensors
that a RingCache returns carry the view they come from, and a mask that says nothing a view does not
know by itself is marked as plain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import masking_utils
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..attention.attending import NO_FLOATS, NO_LSE, NO_SCORES, _run
from ..attention.checks import checked_call
from ..spans import Asked, spans_of
from ..view import KVView
from .hf_columns import Columns
from .hf_config import CHUNKED
from .tensors import array_of

__all__ = ["NAME", "register"]

NAME = "kvring"
CAUSAL = masking_utils.causal_mask_function
# Up to so many tokens, reading the rows in place beats one large matrix product per head.
FEW_TOKENS = 32
# What changes weights in ways that only torch's attention knows.
OTHER_WEIGHTS = {"position_bias", "is_causal"}
# Less than this many numbers are read before another thread has woken up to help.
FEW_NUMBERS = 1 << 17


def register() -> None:
    """Make the name known to transformers: the attention and its masks."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, ring_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ring_mask)


def ring_mask(**arguments: Any) -> torch.Tensor | None:
    """The mask for rows of a RingCache, where they are: bool ``(batch, 1, queries, columns)``.

    None where each query sees all columns up to its own. Called by transformers, with the
    arguments of its `sdpa_mask`; for other caches it is that function.
    """
    columns, given = arguments["kv_offset"], arguments.get("attention_mask")
    if not isinstance(columns, Columns):
        return masking_utils.sdpa_mask(**arguments)
    plain = arguments.get("allow_is_causal_skip", True) and columns.kind.name != CHUNKED
    if plain and (given is None or bool(given.all())):
        if columns.is_causal:
            return None
        mask = columns.mask()
        mask.kvring_plain = True
        return mask
    changed = {"mask_function": _of_ring(columns, arguments), "allow_is_causal_skip": False}
    return masking_utils.sdpa_mask(**(arguments | changed))


def _of_ring(columns: Columns, arguments: dict[str, Any]) -> Any:
    """The mask function, with the ring's sinks and a window that the model knows nothing of."""
    planner, seen = columns.rows.planner, arguments.get("mask_function", CAUSAL)
    if planner.window is not None and columns.kind.window is None:
        recent = masking_utils.sliding_window_overlay(planner.window)
        seen = masking_utils.and_masks(recent, seen)
    if planner.sink_tokens:
        always = masking_utils.and_masks(_first(planner.sink_tokens), CAUSAL)
        seen = masking_utils.or_masks(always, seen)
    return seen


def _first(sink_tokens: int) -> Any:
    """The mask function of sinks."""
    return lambda batch, head, query, column: column < sink_tokens


def ring_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention ``(batch, queries, query_heads, value_dim)``; called by transformers.

    Notes
    -----
    Steps of up to 32 tokens read the ring in place. Steps of one token do so under masks of their
    own too, as a batch with padding has.
    """
    view = getattr(key, "kvring_view", None)
    known = not (dropout or query.requires_grad or others.keys() & OTHER_WEIGHTS)
    if view is not None and known and query.shape[2] <= FEW_TOKENS:
        if attention_mask is None or hasattr(attention_mask, "kvring_plain"):
            return _in_place(query, view, None, scaling, softcap, s_aux), None
        if _shows_slots(attention_mask, view):
            return _in_place(query, view, attention_mask, scaling, softcap, s_aux), None
    if softcap is None and s_aux is None:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return found
    return _in_torch(query, key, value, attention_mask, scaling, softcap, s_aux), None


def _shows_slots(mask: torch.Tensor, view: KVView) -> bool:
    """Whether a mask says of each batch row which slots one query sees."""
    is_for_one = mask.dtype is torch.bool and mask.shape[1] == mask.shape[2] == 1
    return is_for_one and view.order == "physical" and mask.shape[3] == view.row_count


def _in_place(
    query: torch.Tensor,
    view: KVView,
    seen: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> torch.Tensor:
    """As `attend`, which takes a step of every layer, so with as few calls as can be."""
    logits = NO_FLOATS if s_aux is None else array_of(s_aux.float())
    call = checked_call(array_of(query), view, None, None)
    if seen is not None:
        call = call._replace(spans=_spans(seen), asked=(Asked(seen.shape[-1], 0, 1),))
    keys, values = call.pair
    batch, query_heads, tokens, head_dim = call.query.shape
    out = np.empty((batch, query_heads, tokens, values.shape[3]), np.float32)
    factors = head_dim**-0.5 if scaling is None else float(scaling), softcap or 0.0
    read = view.row_count * batch * keys.shape[1] * (head_dim + values.shape[3]) * tokens
    threads = torch.get_num_threads() if read > FEW_NUMBERS else 1
    _run(call, (logits, out, NO_LSE, NO_SCORES), factors, threads)
    swapped = out.reshape(batch, 1, query_heads, -1) if tokens == 1 else out.transpose(0, 2, 1, 3)
    found = torch.from_numpy(swapped)
    return found if query.dtype is torch.float32 else found.to(query.dtype)


def _spans(seen: torch.Tensor) -> tuple[Any, ...]:
    """The columns that the mask of one query shows, as stretches per batch row.

    Worked out once per mask, so once per step for all layers that share it. Columns stand for
    positions: nothing but what the mask says keeps the query from seeing them.
    """
    found: tuple[Any, ...] | None = getattr(seen, "kvring_spans", None)
    if found is None:
        columns = np.arange(seen.shape[-1])
        rows = seen.numpy()[:, 0, 0]
        found = tuple(spans_of(np.where(row, columns, -1), 0, 0) for row in rows)
        seen.kvring_spans = found
    return found


def _in_torch(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> torch.Tensor:
    """Attention of many tokens with what torch's own knows nothing of: a softcap, sink logits."""
    batch, query_heads, tokens, head_dim = query.shape
    kv_heads, columns = key.shape[1:3]
    grouped = query.reshape(batch, kv_heads, -1, tokens, head_dim)
    scores = grouped @ key[:, :, None].transpose(-1, -2)
    scores = scores.float() * (head_dim**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is None:
        mask = torch.ones(tokens, columns, dtype=torch.bool).tril(columns - tokens)[None, None]
    if mask.dtype is torch.bool:
        # Not -inf: a query of padding sees nothing, and its row must stay finite.
        scores = scores.masked_fill(~mask[:, :, None], torch.finfo(scores.dtype).min)
    else:
        scores = scores + mask[:, :, None]
    if s_aux is not None:
        sink = s_aux.float().reshape(1, kv_heads, -1, 1, 1).expand(*scores.shape[:4], 1)
        scores = torch.cat([scores, sink], dim=-1)
    weights = torch.softmax(scores, dim=-1)[..., :columns].to(value.dtype)
    out = (weights @ value[:, :, None]).reshape(batch, query_heads, tokens, -1)
    return out.transpose(1, 2).contiguous()
