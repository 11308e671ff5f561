"""The smallest right cache there is, and ways to be wrong, for tests of the oracle's own parts."""

import numpy as np

from kvring.testing import Rows

SUPPORTS = {
    "modes": ["circular"],
    "most_sink_tokens": 0,
    "most_rollback_tokens": 0,
    "ragged": [],
    "truncate": "at_least",
    "without": {"wrong_shapes": "nothing is checked"},
}


class Everything:
    """Keeps all rows and hides the old ones behind the mask."""

    supports = SUPPORTS

    def __init__(self, setup):
        self.window = setup.window
        self.rows = [None] * setup.layers

    def update(self, layer, keys, values):
        if self.rows[layer] is not None:
            old_keys, old_values = self.rows[layer]
            keys = np.concatenate([old_keys, keys], axis=1)
            values = np.concatenate([old_values, values], axis=1)
        new = keys.shape[1] - (0 if self.rows[layer] is None else self.rows[layer][0].shape[1])
        self.rows[layer] = keys, values
        return Rows(keys, values, self.mask(keys.shape[1], new))

    def mask(self, rows, new):
        queries = np.arange(rows - new, rows)[:, None]
        positions = np.arange(rows)
        return (positions <= queries) & (positions > queries - self.window)

    def truncate(self, seq_len):
        if not 0 <= seq_len <= min(self.seq_len(layer) for layer in range(len(self.rows))):
            raise ValueError(f"cannot truncate to {seq_len}")
        self.rows = [rows and (rows[0][:, :seq_len], rows[1][:, :seq_len]) for rows in self.rows]

    def reset(self):
        self.rows = [None] * len(self.rows)

    def seq_len(self, layer):
        return 0 if self.rows[layer] is None else self.rows[layer][0].shape[1]


class SeesOneTooMany(Everything):
    """A window that counts the query's own token as none."""

    def mask(self, rows, new):
        self.window += 1
        try:
            return super().mask(rows, new)
        finally:
            self.window -= 1


class ForgetsToReset(Everything):
    """Reset leaves the rows of layer 1."""

    def reset(self):
        self.rows = [None, *self.rows[1:]]


class CannotBeMade:
    """Nothing to judge."""

    supports = SUPPORTS

    def __init__(self, setup):
        raise RuntimeError("no device")


class Wrong:
    """Declares what does not exist."""

    supports = {"colour": "red"}
