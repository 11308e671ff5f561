"""Right: a tiny transformer with random weights, which shows the logits of the next word."""

from types import SimpleNamespace

import numpy as np

from kvring.testing import Logits, Supports
from tests.conformance.rings.hiding import HidesRing
from tests.conformance.rings.slot_order import SlotRing

WORDS, WIDTH = 61, 16


class TinyModel(HidesRing):
    """One attention head per layer; a window over its keys and values."""

    supports = Supports(observes="logits", ragged=(), most_kv_heads=1)

    def __init__(self, setup):
        random = np.random.default_rng(2)
        self.words = random.normal(size=(WORDS, WIDTH))
        self.layers = [
            [random.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH) for _ in "qkvo"]
            for _ in setup.strategies
        ]
        rows = {"kv_heads": 1, "head_dim": WIDTH, "value_dim": WIDTH}
        rows |= {"dtype": "float64", "layout": "BSHD"}
        strategies, batch = setup.strategies, setup.batch
        self.ring = SlotRing(SimpleNamespace(strategies=strategies, batch=batch, **rows))

    def update(self, token_ids):
        """Logits of new tokens ``(batch, tokens)``, with the cache."""
        first = self.first_position()
        positions = np.arange(first, first + token_ids.shape[1])
        return Logits(self.logits(token_ids, positions, self.cached))

    def uncached(self, token_ids, mask):
        """Logits of a whole sequence ``(1, tokens)``; `mask` says who may attend to what."""

        def whole(layer, keys, values):
            return keys, values, mask

        return self.logits(token_ids, np.arange(token_ids.shape[1]), whole)

    def first_position(self):
        """Of the first new token."""
        return 0 if self.ring.layers[0].mode == "replace" else self.ring.seq_len(0)

    def cached(self, layer, keys, values):
        """Store the new rows; all rows, and which query may see which."""
        seen = self.ring.update(layer, keys[:, :, None], values[:, :, None])
        return seen.keys[:, :, 0], seen.values[:, :, 0], seen.mask

    def logits(self, token_ids, positions, rows_of):
        """`rows_of(layer, keys, values)` adds the rows of the past and the mask."""
        stream = self.words[token_ids] + placed(positions)
        for layer, (to_query, to_key, to_value, out) in enumerate(self.layers):
            keys, values, mask = rows_of(layer, stream @ to_key, stream @ to_value)
            scores = np.einsum("btd,bsd->bts", stream @ to_query, keys) / np.sqrt(WIDTH)
            scores = np.where(mask, scores, -np.inf)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            stream = np.tanh(stream + weights @ values @ out)
        return stream @ self.words.T

    def seq_len(self, layer):
        """All layers take the same tokens."""
        return self.ring.seq_len(0)


def placed(positions):
    """Waves of different lengths, which tell positions apart."""
    angles = positions[:, None] / 3.0 ** np.arange(WIDTH // 2)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
