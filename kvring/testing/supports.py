"""What a backend declares: where it may differ from kvring and still be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from ..errors import ConfigError
from .setup import MODES, POLICIES
from .steps import STEPS
from .supports_checks import (
    check_known,
    check_number,
    check_tolerance,
    check_types,
    check_without,
)

__all__ = ["OPERATIONS", "Supports"]

# Every operation an adapter may offer. "wrong_shapes" is no method: it stands for updates with
# arrays that do not fit, which a cache should refuse.
OPERATIONS = (*STEPS, "seq_len_form", "ragged", "wrong_shapes")


@dataclass(frozen=True)
class Supports:
    """The declaration of a backend. With a right one, a right backend is never reported.

    An operation whose method the adapter lacks needs no word here: it is skipped and listed in
    the report. Everything is checked on construction; a `ConfigError` says what is wrong.

    Parameters
    ----------
    observes : {"rows", "slots", "outputs", "logits"}
        What `update` returns: rows and a mask; slot lists; attention outputs; logits.
    modes : tuple of str
        Of ``"append"``, ``"circular"``, ``"replace"``.
    dtypes, layouts : tuple of str
        What K and V may come as.
    most_layers, most_batch, most_kv_heads : int
        The largest setup to try, at most 3, 3 and 3.
    head_dims : tuple of int
        Widths to try, each at least 8 (a row's name takes eight elements).
    windows : tuple of two ints, tokens
        The smallest and the largest window to try.
    most_sink_tokens, most_rollback_tokens : int, tokens
        0 where the backend has no sinks, or cannot go back once it has wrapped.
    most_chunk : int, tokens, optional
        The most tokens of one update; None for no limit.
    window_counts_self : bool
        Whether a window of 4 is the query's own token and three more (True), or four more.
    eviction : {"exact", "lazy", "blocks"}
        ``"exact"``: a query sees its window and nothing older. ``"lazy"``: queries of a chunk also
        see older rows down to what the chunk's first query sees. ``"blocks"``: up to
        ``block_tokens - 1`` older rows are seen until their block goes.
    block_tokens : int, tokens
        See `eviction`.
    row_order : {"temporal", "slots"}
        Whether the rows of a view come oldest first, or in any order.
    positions : {"absolute", "renumbered"}
        What `next_position` reports after eviction: the token's position in its sequence, or its
        index among the tokens it will see.
    long_prompt : {"exact", "sees_all", "misses_sinks"}
        What the queries of an update with more tokens than the window see: the contract's sets;
        also every earlier token of the same update; or the contract's sets, sinks or no sinks.
    truncate : {"contract", "at_least", "may_refuse"}
        Which truncations are accepted: those of law 7 and no others; at least those; or whichever
        the backend likes. One that is accepted must leave the right rows in any case.
    too_many : {"refused", "clamped"}
        What a truncate below 0 or above the tokens seen does: it is refused, or goes as far as it
        can.
    overflow : {"refused", "grows"}
        What append mode does with more tokens than its capacity.
    ragged : tuple of str
        Of ``"right"``, ``"left"``: the sides on which updates may be padded.
    evictions : tuple of str
        Of ``"fifo"``, ``"lru"`` and ``"heavy_hitter"``: the policies by which rows give way in a
        full layer in append mode. None of them by default: it is an error then.
    empty_updates : bool
        Whether updates of no tokens may be tried, which must change nothing (replace mode: empty).
    mixed_layers : bool
        Whether layers may have different strategies.
    special_values : bool
        Whether NaN payloads, -0.0, infinities and subnormal numbers come back bit for bit.
    tolerance : float
        For outputs and logits: the largest relative difference that is rounding.
    without : mapping of str to str
        Operations the backend lacks, and why; they are skipped and counted in the report.

    Examples
    --------
    >>> Supports(modes=("circular",), row_order="slots").modes
    ('circular',)
    >>> Supports(row_order="any")
    Traceback (most recent call last):
    ...
    kvring.errors.ConfigError: row_order: expected 'temporal' or 'slots', got 'any'
    """

    observes: Literal["rows", "slots", "outputs", "logits"] = "rows"
    modes: tuple[str, ...] = ("append", "circular", "replace")
    dtypes: tuple[str, ...] = ("float32",)
    layouts: tuple[str, ...] = ("BSHD",)
    most_layers: int = 2
    most_batch: int = 3
    most_kv_heads: int = 3
    head_dims: tuple[int, ...] = (8,)
    windows: tuple[int, ...] = (1, 6)
    most_sink_tokens: int = 2
    most_rollback_tokens: int = 3
    most_chunk: int | None = None
    window_counts_self: bool = True
    eviction: Literal["exact", "lazy", "blocks"] = "exact"
    block_tokens: int = 1
    row_order: Literal["temporal", "slots"] = "temporal"
    positions: Literal["absolute", "renumbered"] = "absolute"
    long_prompt: Literal["exact", "sees_all", "misses_sinks"] = "exact"
    truncate: Literal["contract", "at_least", "may_refuse"] = "contract"
    too_many: Literal["refused", "clamped"] = "refused"
    overflow: Literal["refused", "grows"] = "refused"
    ragged: tuple[str, ...] = ("right", "left")
    evictions: tuple[str, ...] = ()
    empty_updates: bool = False
    mixed_layers: bool = False
    special_values: bool = True
    tolerance: float = 0.01
    without: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        for name, known in (
            ("modes", tuple(MODES)),
            ("layouts", ("BSHD", "BHSD")),
            ("ragged", ("right", "left")),
            ("evictions", tuple(POLICIES)),
        ):
            check_known(name, getattr(self, name), known)
        for name, allowed in _RANGES.items():
            check_number(name, getattr(self, name), *allowed)
        if self.most_chunk is not None:
            check_number("most_chunk", self.most_chunk, 1)
        for width in self.head_dims:
            check_number("head_dims", width, 8)
        check_tolerance(self.tolerance)
        check_without(self.without, OPERATIONS)
        if len(self.windows) != 2 or not 1 <= self.windows[0] <= self.windows[1]:
            raise ConfigError(f"windows: expected (smallest, largest), got {self.windows!r}")
        if not self.modes or not self.dtypes or not self.layouts or not self.head_dims:
            raise ConfigError("modes, dtypes, layouts and head_dims: expected at least one each")

    @classmethod
    def of(cls, declared: Supports | Mapping[str, Any] | None) -> Supports:
        """A declaration given as such, as a mapping (lists may stand for tuples), or not at all.

        Raises
        ------
        ConfigError
            If it names what does not exist, or a value is not one of those known.
        """
        if declared is None:
            return cls()
        if isinstance(declared, Supports):
            return declared
        if not isinstance(declared, Mapping):
            raise ConfigError(f"supports: expected a mapping, got {declared!r}")
        known = {entry.name for entry in fields(cls)}
        for name in declared:
            if name not in known:
                raise ConfigError(f"supports: no such thing as {name!r}; known: {sorted(known)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()
        }
        return cls(**values)

    def lacking(self, operation: str, why: str) -> Supports:
        """The same without one operation more."""
        return replace(self, without={**self.without, operation: why})

    def has(self, operation: str) -> bool:
        """Whether nothing says that the backend lacks it."""
        return operation not in self.without


# The smallest and, where there is one, the largest number. Names of rows have room for no more
# layers, batch rows and heads than these, once histories have added some.
_RANGES: dict[str, tuple[int, ...]] = {
    "most_layers": (1, 3),
    "most_batch": (1, 3),
    "most_kv_heads": (1, 3),
    "most_sink_tokens": (0,),
    "most_rollback_tokens": (0,),
    "block_tokens": (1,),
}
