"""What rings do that hide another ring behind attention or a model: hand everything else on."""

import copy


class HidesRing:
    """`ring` is the one that is hidden."""

    def truncate(self, seq_len):
        self.ring.truncate(seq_len)

    def reset(self):
        self.ring.reset()

    def reorder(self, batch_rows):
        self.ring.reorder(batch_rows)

    def select(self, batch_rows):
        self.ring.select(batch_rows)

    def repeat(self, times):
        self.ring.repeat(times)

    def copy(self):
        return copy.deepcopy(self)

    def seq_len(self, layer):
        return self.ring.seq_len(layer)
