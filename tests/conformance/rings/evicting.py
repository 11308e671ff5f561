"""Right: append mode in which rows give way by a policy, on the lists of `row_lists`."""

from dataclasses import replace

from tests.conformance.rings.row_lists import RowLists, Sequence

FORGETTING = replace(
    RowLists.supports,
    modes=("append",),
    evictions=("fifo", "lru", "heavy_hitter"),
    ragged=(),
    without=dict.fromkeys(("ragged", "reorder", "select", "repeat", "add_batch_rows"), "not here"),
)


class EvictingSequence(Sequence):
    """What one batch row of one layer knows of its rows: last use, score, pins."""

    def __init__(self, strategy):
        super().__init__(strategy)
        # Objects of the oracle, or plain namespaces in the script of a report.
        self.policy = getattr(strategy, "eviction", None)
        self.clock, self.floor = 0, 0
        self.used, self.scores, self.pinned = {}, {}, set()

    def positions(self):
        return [position for position, _, _ in self.rows]

    def guarded(self, position):
        return position < self.sink_tokens or position in self.pinned

    def room(self):
        if self.policy is None:
            return super().room()
        return self.capacity - sum(self.guarded(position) for position in self.positions())

    def victim_key(self, position, seq_len):
        """What is lowest gives way."""
        if hasattr(self.policy, "recent_tokens"):
            recent = position >= seq_len - self.policy.recent_tokens
            return (recent, 0 if recent else self.scores[position], position)
        if hasattr(self.policy, "threshold"):
            return (self.used[position], position)
        return (position,)

    def make_room(self, count):
        needed = len(self.rows) + count - self.capacity
        if self.policy is not None and needed > 0:
            free = [position for position in self.positions() if not self.guarded(position)]
            free.sort(key=lambda position: self.victim_key(position, self.seq_len + count))
            self.drop(free[:needed])
            self.floor = self.seq_len + count

    def drop(self, positions):
        self.rows = [row for row in self.rows if row[0] not in positions]
        self.pinned -= set(positions)

    def truncate(self, seq_len):
        self.drop([position for position in self.positions() if position >= seq_len])
        self.seq_len = seq_len
        if seq_len == 0:
            self.rows, self.pinned, self.floor = [], set(), 0


class Evicting(RowLists):
    """Victims go before the chunk is written; each layer and batch row has its own."""

    supports = FORGETTING
    sequence = EvictingSequence

    def __init__(self, setup):
        super().__init__(setup)
        self.layers = [
            [self.sequence(mode) for _ in range(setup.batch)] for mode in setup.strategies
        ]

    def update_row(self, sequence, keys, values, real):
        sequence.make_room(len(real))
        sequence.clock += 1
        for position in range(sequence.seq_len, sequence.seq_len + len(real)):
            sequence.used[position], sequence.scores[position] = sequence.clock, 0
        return super().update_row(sequence, keys, values, real)

    def truncate(self, seq_len):
        for sequence in self.all():
            if 0 < seq_len < sequence.floor or not 0 <= seq_len <= sequence.seq_len:
                raise IndexError(f"cannot truncate to {seq_len}")
        for sequence in self.all():
            sequence.truncate(seq_len)

    def all(self, layers=slice(None)):
        return [sequence for layer in self.layers[layers] for sequence in layer]

    def known(self, positions, layers=slice(None)):
        """The sequences with a policy; all of them must hold these positions."""
        found = [sequence for sequence in self.all(layers) if sequence.policy is not None]
        if not found or any(set(positions) - set(one.positions()) for one in found):
            raise ValueError(f"no policy, or {positions} are not all there")
        return found

    def pin(self, positions):
        for sequence in self.known(positions):
            sequence.pinned |= set(positions)

    def unpin(self, positions):
        for sequence in self.known(positions):
            sequence.pinned -= set(positions)

    def evict(self, positions):
        sequences = self.known(positions)
        if any(sequence.guarded(position) for sequence in sequences for position in positions):
            raise ValueError("pinned, or a sink")
        for sequence in sequences if positions else ():
            sequence.drop(positions)
            sequence.floor = sequence.seq_len

    def touch(self, layer, positions):
        for sequence in self.known(positions, slice(layer, layer + 1)):
            sequence.clock += 1
            sequence.used.update(dict.fromkeys(positions, sequence.clock))

    def observe(self, layer, weights):
        for sequence in self.known([], slice(layer, layer + 1)):
            sequence.clock += 1
            threshold = getattr(sequence.policy, "threshold", None) or 1 / max(len(weights), 1)
            for position, weight in zip(sequence.positions(), weights, strict=True):
                sequence.scores[position] += weight * self.setup.kv_heads
                if weight >= threshold:
                    sequence.used[position] = sequence.clock
