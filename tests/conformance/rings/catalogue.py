"""All rings there are, right and wrong, for the tests that go through them."""

from tests.conformance.rings import (
    wrong_batches,
    wrong_concatenating,
    wrong_counting,
    wrong_evictions,
    wrong_heads,
    wrong_models,
    wrong_operators,
    wrong_pages,
    wrong_sizes,
    wrong_totals,
    wrong_windows,
)
from tests.conformance.rings.concatenating import AppendAll, BlockRing, LazyRing, ReplaceAll
from tests.conformance.rings.evicting import Evicting
from tests.conformance.rings.head_order import HeadRing
from tests.conformance.rings.model import TinyModel
from tests.conformance.rings.operator import Operator
from tests.conformance.rings.paged import Paged
from tests.conformance.rings.resizing import Resizing
from tests.conformance.rings.row_lists import RowLists
from tests.conformance.rings.slot_order import SlotRing
from tests.conformance.rings.totals import TotalAppend, TotalRing
from tests.conformance.rings.variants import (
    Clamped,
    KeepsNumbers,
    MissesSinks,
    OneByOne,
    OthersOnly,
    Renumbered,
    SeesWholePrompt,
    SometimesRefuses,
)

__all__ = ["MUTANTS", "RIGHT", "kind"]

RIGHT = (
    *(SlotRing, LazyRing, BlockRing),  # the three styles of a sliding window
    *(HeadRing, AppendAll, ReplaceAll, RowLists, Resizing, TotalRing, TotalAppend),
    *(Paged, Operator, TinyModel),  # the other kinds of observation
    *(OthersOnly, Renumbered, Clamped, SometimesRefuses, SeesWholePrompt, MissesSinks),
    *(OneByOne, KeepsNumbers, Evicting),
)

MUTANTS = tuple(
    ring
    for module in (
        wrong_windows,
        wrong_counting,
        wrong_totals,
        wrong_concatenating,
        wrong_heads,
        wrong_batches,
        wrong_sizes,
        wrong_evictions,
        wrong_pages,
        wrong_operators,
        wrong_models,
    )
    for ring in vars(module).values()
    if "mistake" in getattr(ring, "__dict__", {}) and ring.__module__ == module.__name__
)


def kind(ring):
    """What a ring shows: rows, slots, outputs or logits."""
    return ring.supports.observes
