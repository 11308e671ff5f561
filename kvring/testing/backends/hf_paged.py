"""The cache allocators of transformers' continuous batching: pages, index lists and block tables.

Every batch row is a request. An update does what a forward pass does: allocate, list the indices to
read and to write, then let the allocator write the new rows and show the rows to attend to.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch

from ..observations import Rows, UnsupportedError
from ..setup import Setup
from .common import GROWING, SLIDING

__all__ = ["paged", "paged_sliding"]

PAGE, SECTORS = 2, 96  # tokens of a page; sectors of two blocks


def parts(kind: str) -> tuple[Any, Any, Any]:
    """The allocator's class, the pool's, and what makes masks."""
    try:
        from transformers.generation.continuous_batching import cache_allocators as found
        from transformers.generation.continuous_batching.cache_allocators.cache_pool import (
            CachePool,
        )
        from transformers.generation.continuous_batching.utils import build_attention_mask

        return getattr(found, kind), CachePool, build_attention_mask
    except (ImportError, AttributeError) as error:
        raise UnsupportedError(f"this release has no {kind}: {error}") from error


class Backend:
    """One allocator for all layers; `requests` are those of the batch rows."""

    def __init__(self, setup: Setup, kind: str) -> None:
        from transformers import PretrainedConfig

        made, pool, self.masks = parts(kind)
        self.window = setup.window
        width = setup.kv_heads * setup.head_dim
        config = PretrainedConfig(
            sliding_window=setup.window or None,
            hidden_size=width,
            head_dim=setup.head_dim,
            num_attention_heads=setup.kv_heads,
        )
        dtype = getattr(torch, setup.dtype)
        layers = list(range(setup.layers))
        self.held = made(0, config, setup.kv_heads, dtype, PAGE, layers, True)
        sector = 2 * self.held.bytes_per_block
        tensor = torch.zeros((SECTORS + 2) * sector, dtype=torch.uint8)
        self.pool = pool(SECTORS, 1)
        self.held.register_cache_tensor(sector, SECTORS * sector, tensor, self.pool)
        self.requests = [str(row) for row in range(setup.batch)]
        self.made = setup.batch
        self.seen = np.zeros((setup.layers, setup.batch), int)

    def update(
        self,
        layer: int,
        keys: Any,
        values: Any,
        token_counts: list[int] | None = None,
        padding: str = "right",
    ) -> Rows:
        """All requests in one pass, one after the other; there is no padding in it."""
        batch, _, tokens, _ = keys.shape
        counts = token_counts or [tokens] * batch
        past = self.seen[layer].tolist()
        taken = [
            slice(0, count) if padding == "right" else slice(tokens - count, tokens)
            for count in counts
        ]
        joined = []
        for array in (keys, values):
            rows = [array[b, :, one].swapaxes(0, 1) for b, one in enumerate(taken)]
            joined.append(torch.from_numpy(np.concatenate(rows)))
        passes = [pair for pair in zip(self.requests, past, counts, strict=True) if pair[2]]
        for request in passes:
            self.allocate(*request)
        read, write = (
            torch.tensor([n for one in passes for n in listed(*one)], dtype=torch.long)
            for listed in (self.held.get_read_indices, self.held.get_write_indices)
        )
        if not any(one[1] for one in passes):
            read = read[:0]  # nothing is cached: as the pass has it
        shown = self.held.update(*joined, layer, read, write)
        self.seen[layer] += counts
        return self.split(shown, past, counts, taken, tokens)

    def allocate(self, request: str, past: int, count: int) -> None:
        """As the scheduler does."""
        for _ in range(self.held.needs_new_sectors(request, past, count)):
            self.pool.allocate_sector(0)
        self.held.allocate_cache_to_request(request, past, count)

    def split(self, shown: Any, past: Any, counts: Any, taken: Any, tokens: int) -> Rows:
        """The rows of each request, and its part of the mask."""
        lengths = [
            self.held.get_seqlen_k(seen, count) if count else 0
            for seen, count in zip(past, counts, strict=True)
        ]
        queries, rows = ([0, *accumulate(sizes)] for sizes in (counts, lengths))
        bias = torch.full((queries[-1], rows[-1]), torch.finfo(torch.float32).min)
        self.masks(bias, queries, rows, *([self.window] if self.window else []))
        split = Rows([], [], [])
        for b, (first, last) in enumerate(pairwise(rows)):
            mask = np.zeros((tokens, last - first), bool)
            mask[taken[b]] = bias[queries[b] : queries[b + 1], first:last].numpy() == 0
            keys, values = (array[first:last].numpy().swapaxes(0, 1).copy() for array in shown)
            split.keys.append(keys)
            split.values.append(values)
            split.mask.append(mask)
        return split

    def seq_len(self, layer: int) -> Any:
        """Tokens seen, which the requests count."""
        return self.seen[layer].copy()

    def reset(self) -> None:
        """All requests end, and others begin."""
        for request in self.requests:
            self.held.free_blocks(request)
        self.requests = [self.new() for _ in self.requests]
        self.seen[:] = 0

    def select(self, batch_rows: list[int]) -> None:
        """Requests end."""
        kept = [self.requests[row] for row in batch_rows]
        if len(set(kept)) < len(kept):
            raise UnsupportedError("a request that goes on twice is a fork")
        for request in set(self.requests) - set(kept):
            self.held.free_blocks(request)
        self.requests, self.seen = kept, self.seen[:, batch_rows]

    def repeat(self, times: int) -> None:
        """Requests are forked, as for several answers to one prompt."""
        if len({tuple(counts) for counts in self.seen.tolist()}) > 1:
            raise UnsupportedError("a fork takes all layers alike")
        requests = []
        for request, past in zip(self.requests, self.seen[0].tolist(), strict=True):
            requests.append(request)
            for _ in range(times - 1):
                requests.append(self.new())
                if past:
                    self.fork(request, requests[-1], past)
        self.requests = requests
        self.seen = self.seen.repeat(times, axis=1)

    def fork(self, request: str, other: str, past: int) -> None:
        """Blocks are shared, or copied."""
        blocks = len(self.held.block_table[request])
        while self.pool.count_free_blocks(0) < blocks:
            self.pool.allocate_sector(0)
        self.held.copy_blocks(*self.held.fork_blocks(request, other, past))

    def new(self) -> str:
        """A request's name."""
        self.made += 1
        return str(self.made)


def paged(setup: Setup) -> Backend:
    """`FullAttentionCacheAllocator`."""
    return Backend(setup, "FullAttentionCacheAllocator")


def paged_sliding(setup: Setup) -> Backend:
    """`SlidingAttentionCacheAllocator`."""
    return Backend(setup, "SlidingAttentionCacheAllocator")


_RAGGED = ("right", "left")
paged.supports = replace(GROWING, ragged=_RAGGED)  # type: ignore[attr-defined]
paged_sliding.supports = replace(SLIDING, ragged=_RAGGED)  # type: ignore[attr-defined]
