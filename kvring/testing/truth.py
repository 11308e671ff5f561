"""What must be seen, according to the reference: two of them side by side.

The *contract* is the reference with the setup's own numbers: it says what must be accepted and
what refused. The *ideal* is the same with unlimited rollback and capacity, so that it never forgets
a row; it says what each query sees, also after a truncate that only a more generous backend than
the contract accepts. A declaration widens what a query may see, never what it must.
"""

from __future__ import annotations

from dataclasses import replace

from ..config import Append, Circular, Mode, Replace
from ..errors import CapacityError, EvictedError, KVRingError, PositionError
from ..reference import ReferenceCache, ReferenceView
from .names import MOST_TAGS, ZERO_KEY_TAGS, Token
from .query_truth import Entry, QueryTruth
from .setup import Setup
from .steps import AddBatchRows, Forget, Reorder, Repeat, Resize, Select, Truncate, Update
from .supports import Supports
from .telling import tell, with_modes

__all__ = ["QueryTruth", "Truth"]

Surgery = Reorder | Select | Repeat | AddBatchRows

# More than any trace has tokens.
UNLIMITED = 10 * MOST_TAGS


class Truth:
    """What a right backend of this declaration shows after the steps taken so far.

    Parameters
    ----------
    setup : Setup
        As the backend got it.
    supports : Supports
        What the backend declares.
    """

    def __init__(self, setup: Setup, supports: Supports) -> None:
        self.setup, self.resized = setup, False
        self.supports = supports
        config = setup.cache_config()
        self.contract = ReferenceCache(with_modes(config, self._contract_mode))
        self.ideal = ReferenceCache(with_modes(config, self._ideal_mode))
        self._next_tag, self._next_zero_tag = 1, ZERO_KEY_TAGS

    def _contract_mode(self, mode: Mode) -> Mode:
        if isinstance(mode, Circular):
            return replace(mode, window=self._window(mode))
        evicts = isinstance(mode, Append) and mode.eviction is not None
        if isinstance(mode, Append) and not evicts and self.supports.overflow == "grows":
            return Append(UNLIMITED)
        return mode

    def _ideal_mode(self, mode: Mode) -> Mode:
        if isinstance(mode, Circular):
            return replace(mode, window=self._window(mode), rollback_tokens=UNLIMITED)
        if isinstance(mode, Append) and mode.eviction is not None:
            return mode  # what is gone is not to be seen
        return Replace(UNLIMITED) if isinstance(mode, Replace) else Append(UNLIMITED)

    def _window(self, mode: Circular) -> int:
        return mode.window + (0 if self.supports.window_counts_self else 1)

    @property
    def batch(self) -> int:
        """Batch rows there are now."""
        return self.ideal.config.batch

    def seq_lens(self, layer: int) -> list[int]:
        """Tokens that each batch row of `layer` has seen."""
        return self.ideal.seq_lens[layer]

    @property
    def layers_in_step(self) -> bool:
        """Whether all layers have seen the same tokens."""
        first, *others = self.ideal.seq_lens
        return all(lens == first for lens in others)

    def sequence(self, layer: int, batch_row: int) -> list[Entry]:
        """The whole sequence of a batch row, forgotten rows included."""
        rows = self.ideal.rows(layer, batch_row)
        return list(zip(self.ideal.positions(layer, batch_row), rows, strict=True))

    def copy(self) -> Truth:
        """The same, to go on apart."""
        twin = object.__new__(Truth)
        twin.__dict__.update(self.__dict__)
        twin.contract, twin.ideal = self.contract.copy(), self.ideal.copy()
        return twin

    # What a step brings

    def has_tags_for(self, tokens: int, most: int | None) -> bool:
        """Whether there are names left for so many tokens of either kind, `most` in all."""
        ordinary = self._next_tag + tokens <= ZERO_KEY_TAGS
        zero = self._next_zero_tag + tokens <= MOST_TAGS
        used = self._next_tag - 1 + self._next_zero_tag - ZERO_KEY_TAGS
        return ordinary and zero and (most is None or used + tokens <= most)

    def next_tag(self, step: Update) -> int:
        """What the first token of an update will be called in batch row 0."""
        return self._next_zero_tag if step.zero_keys else self._next_tag

    def new_tokens(self, step: Update) -> list[list[Token]]:
        """Names for the tokens of an update, one list per batch row; padding is named as well."""
        first = self.next_tag(step)
        if step.zero_keys:
            self._next_zero_tag += step.tokens
        else:
            self._next_tag += step.tokens
        tags = range(first, first + step.tokens)
        return [[(tag, batch_row) for tag in tags] for batch_row in range(self.batch)]

    def share_names(self, other: Truth) -> None:
        """Go on naming tokens where `other` has come to, so that no name is given twice."""
        self._next_tag, self._next_zero_tag = other._next_tag, other._next_zero_tag

    # What a step is met with

    def refusal(self, layer: int, tokens: list[list[Token]], step: Update) -> KVRingError | None:
        """The contract's error for an update of one layer, which it does not take; None if fine."""
        if step.seq_len is None:  # then room is all that matters, and cheaper than a copy
            for batch_row, count in enumerate(self._counts(step)):
                room = self.contract.sequence(layer, batch_row).room()
                if room is not None and count > room:
                    return CapacityError(f"{count} tokens, and room for {room}")
            return None
        try:
            self._give(self.contract.copy(), layer, tokens, step)
        except KVRingError as error:
            return error
        return None

    def truncate_refusal(self, step: Truncate) -> KVRingError | None:
        """The contract's error for a truncate, which it does not carry out; None if fine."""
        try:
            self.contract.copy().truncate(_listed(step.seq_len))
        except (PositionError, EvictedError) as error:
            return error
        return None

    def clamped(self, seq_len: int | tuple[int, ...]) -> int | tuple[int, ...]:
        """As far as each batch row can go back."""
        lens = self.seq_lens(0)
        wanted = (seq_len,) * len(lens) if isinstance(seq_len, int) else seq_len
        return tuple(max(min(n, have), 0) for n, have in zip(wanted, lens, strict=True))

    # What a step does

    def update(self, layer: int, tokens: list[list[Token]], step: Update) -> list[list[QueryTruth]]:
        """Take an update and say what its queries see, one list per batch row."""
        before = self.seq_lens(layer)
        self._give(self.contract, layer, tokens, step)
        view = self._give(self.ideal, layer, tokens, step)
        truths = []
        for batch_row in range(self.batch):
            visible = view.batch_row(batch_row).visible
            replaced = isinstance(self.setup.strategies[layer], Replace)
            if step.seq_len is not None and step.seq_len <= before[batch_row] and not replaced:
                truths.append(self._read(layer, batch_row))
                continue
            newest = self.seq_lens(layer)[batch_row] - 1
            first = newest + 1 - len(visible)
            skipped = step.tokens - len(visible) if step.padding == "left" else 0
            truths.append(
                [
                    self._query(layer, batch_row, first + n, must, first, len(visible), skipped + n)
                    for n, must in enumerate(visible)
                ]
            )
        return truths

    def read(self, layer: int) -> list[list[QueryTruth]]:
        """What the newest token of each batch row sees."""
        return [self._read(layer, batch_row) for batch_row in range(self.batch)]

    def truncate(self, seq_len: int | tuple[int, ...]) -> None:
        """Drop tokens, whether the contract has their rows or not."""
        lens = [seq_len] * self.batch if isinstance(seq_len, int) else list(seq_len)
        for layer in range(self.setup.layers):
            for batch_row, total in enumerate(lens):
                for reference in (self.contract, self.ideal):
                    reference.sequence(layer, batch_row).truncate(total)

    def forget_refusal(self, step: Forget) -> KVRingError | None:
        """The contract's error for what only eviction knows; None if fine."""
        try:
            tell(self.contract.copy(), step)
        except KVRingError as error:
            return error
        return None

    def forget(self, step: Forget) -> None:
        """Carry it out."""
        for reference in (self.contract, self.ideal):
            tell(reference, step)

    def reset(self) -> None:
        """Forget all tokens."""
        for reference in (self.contract, self.ideal):
            reference.reset()

    def rearrange(self, step: Surgery, other: Truth | None = None) -> None:
        """Carry out an operation on batch rows; `other` is what is added."""
        for mine, others in (
            (self.contract, other.contract if other else None),
            (self.ideal, other.ideal if other else None),
        ):
            if isinstance(step, Reorder):
                mine.reorder(list(step.batch_rows))
            elif isinstance(step, Select):
                mine.select(list(step.batch_rows))
            elif isinstance(step, Repeat):
                mine.repeat(step.times)
            elif others is not None:
                mine.add_batch_rows(others)

    def resize_refusal(self, step: Resize) -> KVRingError | None:
        """The contract's error for other numbers of slots; None if fine."""
        try:
            setup = self.setup.resized(step.numbers)
            self.contract.copy().change_modes([self._contract_mode(m) for m in setup.strategies])
        except KVRingError as error:
            return error
        return None

    def resize(self, step: Resize) -> None:
        """Carry it out."""
        self.setup, self.resized = self.setup.resized(step.numbers), True
        modes = self.setup.strategies
        self.contract.change_modes([self._contract_mode(mode) for mode in modes])
        self.ideal.change_modes([self._ideal_mode(mode) for mode in modes])

    # How

    def _counts(self, step: Update) -> list[int]:
        return list(step.token_counts or (step.tokens,) * self.batch)

    def _give(
        self, reference: ReferenceCache, layer: int, tokens: list[list[Token]], step: Update
    ) -> ReferenceView:
        if step.seq_len is None:
            counts = self._counts(step)
            return reference.update(layer, tokens, token_counts=counts, padding=step.padding)
        old = [token for _, token in self.sequence(layer, 0)] if step.history else []
        return reference.update(layer, old + tokens[0], step.seq_len)

    def _read(self, layer: int, batch_row: int) -> list[QueryTruth]:
        newest = self.seq_lens(layer)[batch_row] - 1
        must = self.ideal.read(layer).batch_row(batch_row).visible[0]
        return [self._query(layer, batch_row, newest, must, newest, 1, 0)]

    def _query(
        self,
        layer: int,
        batch_row: int,
        position: int,
        must: list[Entry],
        first: int,
        count: int,
        index: int,
    ) -> QueryTruth:
        mode = self.setup.strategies[layer]
        if not isinstance(mode, Circular) or self._exact(mode, count):
            return QueryTruth(position, must, [], index)
        oldest = position - self._window(mode) + 1
        if self.supports.eviction == "lazy":
            oldest = first - self._window(mode) + 1
        elif self.supports.eviction == "blocks":
            oldest -= self.supports.block_tokens - 1
        long = count > self._window(mode)
        if long and self.supports.long_prompt == "sees_all":
            oldest = min(oldest, first)
        known = {p for p, _ in must}
        sequence = self.sequence(layer, batch_row)
        may = [(p, t) for p, t in sequence if oldest <= p <= position and p not in known]
        if long and self.supports.long_prompt == "misses_sinks":
            window = [entry for entry in must if entry[0] > position - self._window(mode)]
            may += [entry for entry in must if entry not in window]
            must = window
        return QueryTruth(position, must, may, index)

    def _exact(self, mode: Circular, count: int) -> bool:
        exact = self.supports.eviction == "exact"
        return exact and (self.supports.long_prompt == "exact" or count <= self._window(mode))


def _listed(seq_len: int | tuple[int, ...]) -> int | list[int]:
    return seq_len if isinstance(seq_len, int) else list(seq_len)
