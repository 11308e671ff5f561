"""What the judge found, and the name of every invariant it can find broken."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["INVARIANTS", "Finding", "FoundError"]

# Name of each invariant, and what it says. Reports, flags of vectors and tests use the names.
INVARIANTS = {
    "missing": "every query sees each token that its window and the sinks hold",
    "stale": "no query sees a token older than its window",
    "future": "no query sees a token that comes after it",
    "resurrected": "a token that was dropped or replaced is never seen again",
    "twice": "no query sees a token twice",
    "unwritten": "no query sees a row that was never given",
    "batch row": "no query sees a token of another batch row",
    "mixed row": "a row carries the K and the V of one token, with all its heads, bit for bit",
    "order": "rows come in the declared order, under their own positions",
    "output": "attention gives the mean of exactly the visible values",
    "logits": "a model with the cache computes what it computes without",
    "shape": "K, V and the mask have the axes and the dtype that were promised",
    "promise": "what was promised before an update is what it returned",
    "counters": "the cache counts the tokens that it was given and still has",
    "captured position": "a position captured before an update does not change after it",
    "inputs": "an update leaves the arrays that it was given as they are",
    "refused": "what the contract allows is done",
    "accepted": "what the contract refuses is refused",
    "refused and changed": "a refused operation changes nothing",
    "disturbed": "a copy and its original live apart",
    "split invariance": "cutting the same tokens into other updates never changes what is seen",
    "rollback": "tokens that were dropped again might as well never have come",
    "reset": "after a reset the cache is as new",
    "save and load": "what was saved and loaded goes on as if nothing had happened",
    "batch operations": "operations on batch rows do what each row alone would",
    "resize": "other numbers of slots leave what is there, and what follows, as it would be",
    "layers agree": "what holds for one layer holds for all",
    "padding": "padding is never seen and drives no token out",
    "vector": "the portable vectors hold",
    "died": "the program under test stays alive",
    "hung": "every operation ends within its time limit",
    "nonsense": "every answer has the form that the protocol asks for",
}


@dataclass(frozen=True)
class Finding:
    """One broken invariant, at one query where it is about a query.

    Parameters
    ----------
    invariant : str
        A name from `INVARIANTS`.
    message : str
        What happened, in one line.
    layer, batch_row, query : int, optional
        Where; `query` is the position of the query.
    expected, got : tuple of str
        What the query should see and what it saw, one entry per row.
    visible : tuple of int, positions
        What it should see, where `expected` does not say it.
    """

    invariant: str
    message: str
    layer: int | None = None
    batch_row: int | None = None
    query: int | None = None
    expected: tuple[str, ...] = field(default=())
    got: tuple[str, ...] = field(default=())
    visible: tuple[int, ...] = field(default=())

    @property
    def where(self) -> str:
        """Layer, batch row and query in words; empty when it is about none."""
        parts = []
        if self.layer is not None:
            parts.append(f"layer {self.layer}")
        if self.batch_row is not None:
            parts.append(f"batch row {self.batch_row}")
        if self.query is not None:
            parts.append(f"query at position {self.query}")
        return ", ".join(parts)


class FoundError(Exception):
    """Carries a finding from where it is made to the trial that returns it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding
