"""Wrong: paged allocators whose blocks go too early, twice, or to two sequences at once."""

from dataclasses import replace

from tests.conformance.rings.paged import BLOCK, Paged, Pool
from tests.conformance.rings.planted import planted

CIRCULAR = replace(Paged.supports, modes=("circular",))


@planted("future", "missing", "twice", steps=3)
class BlockFreedTooEarly(Paged):
    """A block is given back for what the last query of a chunk does not see; the first one does."""

    supports = CIRCULAR

    def update(self, layer, counts, token_counts=None, padding="right"):
        for table, count in zip(self.layers[layer], counts, strict=True):
            for number in list(table.blocks):
                if self.is_over(table, number, table.seq_len + count - 1):
                    self.pools[layer].free.append(table.blocks[number])
        return super().update(layer, counts)


@planted("batch row", "future", "missing", "resurrected", "twice", steps=5)
class PartlyFilledBlockFreed(Paged):
    """A truncate gives back the block in which it ends, though tokens are left in it."""

    def cut(self, pool, table, seq_len):
        for number in list(table.blocks):
            if BLOCK * number + BLOCK > seq_len > BLOCK * number:
                pool.free.append(table.blocks[number])
        super().cut(pool, table, seq_len)


@planted("batch row", "missing", "twice", "resurrected", "future", steps=4)
class FreedInTheTable(Paged):
    """A truncate frees blocks and leaves them in the table, and so they get two owners."""

    def cut(self, pool, table, seq_len):
        for number, block in table.blocks.items():
            if BLOCK * number >= seq_len and block not in pool.free:
                pool.free.append(block)
        table.seq_len = seq_len


class CarelessPool(Pool):
    """A block is free as soon as one sequence gives it back."""

    def give_back(self, block):
        self.users[block] -= 1
        if block not in self.free:
            self.free.append(block)


@planted("batch row", "missing", "twice", "resurrected", "future", steps=6)
class FreedWhileShared(Paged):
    """A beam that ends frees its blocks, though other beams share them."""

    def __init__(self, setup):
        super().__init__(setup)
        self.pools = [CarelessPool() for _ in self.pools]


@planted("batch row", "missing", "twice", "resurrected", "batch operations", steps=7)
class WritesIntoSharedBlocks(Paged):
    """Beams that share a block both write into it."""

    def part(self, pool, table, number, copied):
        pass


@planted("unwritten", "missing", "twice", "resurrected", "batch row", "order", steps=3)
class CopiesNothing(Paged):
    """A sequence gets a block of its own before it writes, without what was in the shared one."""

    def part(self, pool, table, number, copied):
        super().part(pool, table, number, [])


@planted("missing", "future", "unwritten", "order", "resurrected", "batch row", steps=1)
class SlotOfTheNextToken(Paged):
    """Queries look one slot further than where their token was written."""

    def slot(self, table, position):
        return super().slot(table, position) + 1


@planted("missing", steps=1)
class OwnTokenNotSeen(Paged):
    """A query sees what was there before it, and not its own token."""

    def seen(self, table, query):
        return super().seen(table, query)[:-1]


@planted("stale", steps=2)
class WholeBlocksSeen(Paged):
    """A query sees every row of the blocks that its window reaches into."""

    supports = CIRCULAR

    def seen(self, table, query):
        wanted = {p // BLOCK for p in range(query + 1) if table.sees(query, p)}
        return [self.slot(table, p) for p in range(query + 1) if p // BLOCK in wanted]
