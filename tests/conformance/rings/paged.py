"""Right: a paged allocator that says where rows go, and never touches K or V."""

import copy

from kvring.testing import Slots, Supports
from tests.conformance.rings.row_lists import Sequence

BLOCK = 2  # slots of a block


class Table(Sequence):
    """One sequence: which block holds its positions ``BLOCK * n ..``, for each n it has."""

    def __init__(self, strategy):
        super().__init__(strategy)
        self.blocks = {}


class Pool:
    """Blocks of one layer. A block may belong to several sequences."""

    def __init__(self):
        self.free = []
        self.users = []  # how many sequences each block belongs to

    def take(self):
        """A free block, the one that came back last if there is one."""
        if not self.free:
            self.free.append(len(self.users))
            self.users.append(0)
        block = self.free.pop()
        self.users[block] = 1
        return block

    def share(self, table):
        for block in table.blocks.values():
            self.users[block] += 1

    def give_back(self, block):
        self.users[block] -= 1
        if not self.users[block]:
            self.free.append(block)


class Paged:
    """Blocks are given back when no query can see them; beams share blocks until they write."""

    supports = Supports(observes="slots", truncate="at_least")

    def __init__(self, setup):
        self.pools = [Pool() for _ in setup.strategies]
        self.layers = [
            [Table(strategy) for _ in range(setup.batch)] for strategy in setup.strategies
        ]

    def update(self, layer, counts, token_counts=None, padding="right"):
        """`counts` has no padding in it, on whichever side that would be."""
        pool, tables = self.pools[layer], self.layers[layer]
        for table, count in zip(tables, counts, strict=True):
            resident = 0 if table.mode == "replace" else table.seq_len
            if not table.window and resident + count > table.capacity:
                raise OverflowError(f"{count} tokens, and room for {table.capacity - resident}")
        written, visible, copied = [], [], []
        for table, count in zip(tables, counts, strict=True):
            first = self.make_room(pool, table, count)
            written.append([self.append(pool, table, copied) for _ in range(count)])
            visible.append([self.seen(table, query) for query in range(first, table.seq_len)])
        return Slots(written, visible, copied)

    def make_room(self, pool, table, count):
        """Give back what the first new query does not see; where that query stands."""
        if table.mode == "replace":
            self.cut(pool, table, 0)
        for number in list(table.blocks):
            if self.is_over(table, number, table.seq_len):
                pool.give_back(table.blocks.pop(number))
        return table.seq_len

    def is_over(self, table, number, query):
        """Whether neither `query` nor one after it, nor a rollback, needs anything of a block."""
        newest = BLOCK * number + BLOCK - 1
        beyond_sinks = BLOCK * number >= table.sink_tokens
        return bool(table.window) and beyond_sinks and newest < query - table.keeps

    def append(self, pool, table, copied):
        """The slot of the next token, in a block that is this sequence's alone."""
        number, place = divmod(table.seq_len, BLOCK)
        if number not in table.blocks:
            table.blocks[number] = pool.take()
        elif pool.users[table.blocks[number]] > 1:
            self.part(pool, table, number, copied)
        table.seq_len += 1
        return BLOCK * table.blocks[number] + place

    def part(self, pool, table, number, copied):
        """Copy on write."""
        shared, own = table.blocks[number], pool.take()
        copied += [(BLOCK * shared + place, BLOCK * own + place) for place in range(BLOCK)]
        pool.give_back(shared)
        table.blocks[number] = own

    def seen(self, table, query):
        return [self.slot(table, p) for p in range(query + 1) if table.sees(query, p)]

    def slot(self, table, position):
        number, place = divmod(position, BLOCK)
        return BLOCK * table.blocks[number] + place

    def read(self, layer):
        tables = self.layers[layer]
        return Slots([[] for _ in tables], [[self.seen(t, t.seq_len - 1)] for t in tables])

    def seq_len(self, layer):
        return [table.seq_len for table in self.layers[layer]]

    def next_position(self, layer):
        return self.seq_len(layer)

    def truncate(self, seq_len):
        """All batch rows to one total, or each to its own; every one is checked first."""
        totals = [seq_len] * len(self.layers[0]) if isinstance(seq_len, int) else seq_len
        for layer in self.layers:
            for table, total in zip(layer, totals, strict=True):
                needed = {p // BLOCK for p in range(total) if table.sees(total - 1, p)}
                if not 0 <= total <= table.seq_len or needed - set(table.blocks):
                    raise IndexError(f"cannot truncate to {total}")
        for pool, layer in zip(self.pools, self.layers, strict=True):
            for table, total in zip(layer, totals, strict=True):
                self.cut(pool, table, total)

    def cut(self, pool, table, seq_len):
        """Give back the blocks that have no token left in them."""
        for number in [number for number in table.blocks if BLOCK * number >= seq_len]:
            pool.give_back(table.blocks.pop(number))
        table.seq_len = seq_len

    def reset(self):
        self.truncate(0)

    def copy(self):
        return copy.deepcopy(self)

    def take(self, batch_rows):
        """Beams: the new ones share the blocks of the old ones, which then go."""
        for pool, layer in zip(self.pools, self.layers, strict=True):
            taken = [copy.deepcopy(layer[batch_row]) for batch_row in batch_rows]
            for table in taken:
                pool.share(table)
            for table in layer:
                self.cut(pool, table, 0)
            layer[:] = taken

    def reorder(self, batch_rows):
        self.take(batch_rows)

    def select(self, batch_rows):
        self.take(batch_rows)

    def repeat(self, times):
        self.take([row for row in range(len(self.layers[0])) for _ in range(times)])
