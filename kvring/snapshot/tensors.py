"""Which tensors a file holds, in which order and shape; the small ones, to and from records.

===========================  ==================================================================
``checksums``                CRC-32 of each other tensor in the order of the file, then of all
                             that stands before these numbers and of these numbers themselves
``seq_lens``, ``lengths``    tokens, ``(layers, batch)``
``head_slots``               slot of the oldest row of the ring, ``(layers, batch)``
``truncate_floors``          tokens, ``(layers, batch)``
``epochs``                   how often tokens were taken back, ``(layers,)``
``clocks``                   when LRU last looked, ``(layers,)``
``pin_counts``               pinned positions, ``(layers, batch)``
``policy_nbytes``            bytes that a policy of one's own said of itself, ``(layers, batch)``
``layer.N.positions``        of each stored row, ``(batch, rows)``
``layer.N.slots``            where it sits, ``(batch, rows)``; with eviction only
``layer.N.last_used``        when it was last used, ``(batch, rows)``; LRU only
``layer.N.scores``           the weight it has gathered, ``(batch, rows)``; HeavyHitter only
``layer.N.pins``             pinned positions, ``(batch, pins)``; with eviction only
``layer.N.policy``           bytes of all batch rows, one after another, and zeros up to a multiple
                             of eight; policies of one's own only
``layer.N.keys``, ``values`` the rows, in the axes of the cache's layout; behind all others
===========================  ==================================================================

All but the last are int64, float64 or filled up, so that K and V begin at a multiple of eight
bytes. Where batch rows have different numbers of rows, there is no batch axis: the rows of batch
row 0 come first, then those of batch row 1, and so on.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..config import Append, CacheConfig, LayerConfig
from ..errors import SnapshotError
from ..eviction import FIFO, LRU, HeavyHitter
from ..rows import State
from .container import ALIGNMENT, Entry
from .describing import stored_dtype
from .records import LayerRecord, Remembered, remembered_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Counts",
    "arrays_of",
    "check_counted",
    "check_entries",
    "counts_of",
    "entries_of",
    "has_own_policy",
    "leading_entries",
    "record_from",
]

# Ten thousand years at a million tokens a second; behind it, sums would not fit into a word.
MOST_COUNTED = 1 << 59
_STATES = ("seq_lens", "lengths", "head_slots", "truncate_floors")
_PER_BATCH_ROW = (*_STATES, "pin_counts", "policy_nbytes")
_PER_LAYER = ("epochs", "clocks")
_KINDS = ("keys", "values")
_NAMES_OF = {np.dtype(np.int64): "I64", np.dtype(np.float64): "F64", np.dtype(np.uint8): "U8"}


class Counts(NamedTuple):
    """What the shapes of a layer's tensors depend on, besides the configuration.

    Parameters
    ----------
    rows, pins : tuple of int
        Of each batch row.
    policy_nbytes : int, bytes
        Of all batch rows.
    """

    rows: tuple[int, ...]
    pins: tuple[int, ...] = (0,)
    policy_nbytes: int = 0


def leading_entries(config: CacheConfig) -> list[Entry]:
    """The tensors that say how large the others are; their shapes depend on nothing else."""
    layers = len(config.layers)
    others = sum(len(_small(config, 0, of)) + len(_large(config, 0, of)) for of in _layers(config))
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_BATCH_ROW, (layers, config.batch))
    shapes |= dict.fromkeys(_PER_LAYER, (layers,))
    checksums = Entry("checksums", "I64", (1 + len(shapes) + others,))
    return [checksums, *(Entry(name, "I64", shape) for name, shape in shapes.items())]


def entries_of(config: CacheConfig, counts: Sequence[Counts]) -> list[Entry]:
    """All tensors of a file, in the order of their data."""
    layers = list(zip(config.layers, counts, strict=True))
    small = [e for n, of in enumerate(layers) for e in _small(config, n, of)]
    large = [e for n, of in enumerate(layers) for e in _large(config, n, of)]
    return [*leading_entries(config), *small, *large]


def check_entries(expected: list[Entry], found: list[Entry]) -> None:
    """That a file has the tensors that its own configuration and counts ask for."""
    if expected != found:
        wanted, got = next((a, b) for a, b in zip_longest(expected, found) if a != b)
        raise SnapshotError(f"header: expected {_said(wanted)}, got {_said(got)}")


def check_counted(name: str, numbers: NDArray[Any]) -> None:
    """That the numbers of a leading tensor can be counts of anything."""
    if numbers.min() < 0 or numbers.max() > MOST_COUNTED:
        what = "a negative number" if numbers.min() < 0 else "too large a number"
        raise SnapshotError(f"{name}: {what}")


def arrays_of(config: CacheConfig, records: Sequence[LayerRecord]) -> dict[str, NDArray[Any]]:
    """Every tensor but the checksums, K and V."""
    states = [record.states for record in records]
    remembered = [record.remembered for record in records]
    told = [of.policies if of else () for of in remembered]
    pins = [of.pins if of else () for of in remembered]
    found: dict[str, NDArray[Any]] = {
        "seq_lens": _table(config, [[s.seq_len for s in of] for of in states]),
        "lengths": _table(config, [[s.length for s in of] for of in states]),
        "head_slots": _table(config, [[s.head for s in of] for of in states]),
        "truncate_floors": _table(config, [[s.truncate_floor for s in of] for of in states]),
        "pin_counts": _table(config, [list(map(len, of)) or [0] * config.batch for of in pins]),
        "policy_nbytes": _table(config, [list(map(len, of)) or [0] * config.batch for of in told]),
        "epochs": np.array([of[0].epoch for of in states], np.int64),
        "clocks": np.array([of.clock if of else 0 for of in remembered], np.int64),
    }
    for number, (record, of_layer) in enumerate(zip(records, config.layers, strict=True)):
        prefix = f"layer.{number}."
        found[prefix + "positions"] = np.concatenate(record.positions)
        if record.remembered is not None:
            found[prefix + "slots"] = np.concatenate(record.remembered.slots)
            found[prefix + "pins"] = np.concatenate(record.remembered.pins)
            kept = remembered_as(of_layer.strategy)
            if kept is not None:
                found[prefix + kept[0]] = np.concatenate(record.remembered.of_rows)
            if record.remembered.policies:
                joined = b"".join(record.remembered.policies)
                joined += bytes(-len(joined) % ALIGNMENT)
                found[prefix + "policy"] = np.frombuffer(joined, np.uint8)
    return found


def counts_of(config: CacheConfig, arrays: dict[str, NDArray[Any]]) -> list[Counts]:
    """What the leading tensors say of the sizes of the others; none is negative."""
    policy_nbytes = [sum(of) for of in arrays["policy_nbytes"].tolist()]  # of any size
    lengths, pins = arrays["lengths"].tolist(), arrays["pin_counts"].tolist()
    return [
        Counts(tuple(n), tuple(p), b) for n, p, b in zip(lengths, pins, policy_nbytes, strict=True)
    ]


def record_from(config: CacheConfig, number: int, arrays: dict[str, NDArray[Any]]) -> LayerRecord:
    """The record of one layer, unchecked and without runs."""
    epoch = int(arrays["epochs"][number])
    columns = [arrays[name][number].tolist() for name in _STATES]
    states = tuple(
        State(seq_len, length, first, epoch, floor)
        for seq_len, length, first, floor in zip(*columns, strict=True)
    )
    rows = [state.length for state in states]
    prefix = f"layer.{number}."
    positions = _split(arrays[prefix + "positions"], rows)
    mode = config.layers[number].strategy
    if getattr(mode, "eviction", None) is None:
        return LayerRecord(states, positions, ())
    kept = remembered_as(mode)
    remembered = Remembered(
        _split(arrays[prefix + "slots"], rows),
        _split(arrays[prefix + "pins"], arrays["pin_counts"][number].tolist()),
        int(arrays["clocks"][number]),
        _split(arrays[prefix + kept[0]], rows) if kept else (np.empty(0),) * config.batch,
        _policies(arrays[prefix + "policy"], arrays["policy_nbytes"][number].tolist())
        if has_own_policy(mode)
        else (),
    )
    return LayerRecord(states, positions, (), remembered)


def _small(config: CacheConfig, number: int, of: tuple[LayerConfig, Counts]) -> list[Entry]:
    """A layer's other tensors."""
    of_layer, counts = of
    shape = _shape(config, counts.rows)
    found = {"positions": ("I64", shape)}
    if getattr(of_layer.strategy, "eviction", None) is not None:
        found["slots"] = ("I64", shape)
        found["pins"] = ("I64", _shape(config, counts.pins))
        kept = remembered_as(of_layer.strategy)
        if kept is not None:
            found[kept[0]] = (_NAMES_OF[np.dtype(kept[1])], shape)
        if has_own_policy(of_layer.strategy):
            found["policy"] = ("U8", (-(-counts.policy_nbytes // ALIGNMENT) * ALIGNMENT,))
    return [Entry(f"layer.{number}.{name}", *of) for name, of in found.items()]


def _large(config: CacheConfig, number: int, of: tuple[LayerConfig, Counts]) -> list[Entry]:
    """A layer's K and V."""
    of_layer, counts = of
    dtype = stored_dtype(config.dtype)
    found = []
    for kind, dim in zip(_KINDS, (of_layer.head_dim, of_layer.value_dim), strict=True):
        shape = _rows_shape(config, counts, of_layer.kv_heads, dim)
        found.append(Entry(f"layer.{number}.{kind}", dtype, shape))
    return found


def _rows_shape(config: CacheConfig, counts: Counts, kv_heads: int, dim: int) -> tuple[int, ...]:
    in_order = config.layout == "BSHD"
    if _even(counts.rows):
        rows = counts.rows[0]
        return (config.batch, *((rows, kv_heads) if in_order else (kv_heads, rows)), dim)
    rows = sum(counts.rows)
    return (rows, kv_heads, dim) if in_order else (kv_heads * rows, dim)


def _layers(config: CacheConfig) -> list[tuple[LayerConfig, Counts]]:
    return [(of, Counts((0,))) for of in config.layers]


def _shape(config: CacheConfig, counts: tuple[int, ...]) -> tuple[int, ...]:
    return (config.batch, counts[0]) if _even(counts) else (sum(counts),)


def _even(counts: tuple[int, ...]) -> bool:
    return all(count == counts[0] for count in counts)


def has_own_policy(mode: Any) -> bool:
    """Whether a mode's policy is none of kvring's."""
    eviction = mode.eviction if isinstance(mode, Append) else None
    return eviction is not None and not isinstance(eviction, (FIFO, LRU, HeavyHitter))


def _table(config: CacheConfig, rows: list[list[int]]) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(len(config.layers), config.batch)


def _split(joined: NDArray[Any], rows: Sequence[int]) -> tuple[NDArray[Any], ...]:
    """One array per batch row."""
    ends = np.cumsum(rows).tolist()
    flat = joined.reshape(-1)
    return tuple(flat[end - count : end] for end, count in zip(ends, rows, strict=True))


def _policies(joined: NDArray[np.uint8], nbytes: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(of.tobytes() for of in _split(joined, nbytes))


def _said(entry: Entry | None) -> str:
    if entry is None:
        return "no more tensors"
    return f"{entry.name!r:.80} of {entry.dtype} and shape {list(entry.shape)!r:.200}"
