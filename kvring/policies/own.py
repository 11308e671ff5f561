"""A policy of somebody's own, told and asked on behalf of one layer."""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import widened
from ..errors import ConfigError, PolicyError, SnapshotError
from ..rows import per_batch_row
from .plans import EvictingMove, Rest
from .residents import Origin, Residents
from .trackers import Guard, Observed, Tracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["AskedPolicies"]


class AskedPolicies(Tracker):
    """One copy of the policy per batch row; rows have positions there, and slots here.

    Parameters
    ----------
    residents : Residents
    policy : EvictionPolicy
        The one that was configured; it stays as it is.
    """

    def __init__(self, residents: Residents, policy: Any) -> None:
        super().__init__(residents)
        self._policy = policy
        self._policies = [self._fresh() for _ in range(residents.batch)]

    def enter(self, move: EvictingMove) -> None:
        if isinstance(move, Rest):
            self._dropped(move)
            return
        for batch_row, policy in enumerate(self._policies):
            leaving, new = move.leaving_of(batch_row), move.new_rows(batch_row)
            if leaving:
                policy.dropped(leaving)
            if new:
                policy.written(list(new))

    def _dropped(self, move: Rest) -> None:
        table = self.residents.positions
        leaving = move.leaving(table)
        for batch_row, state in enumerate(per_batch_row(move.after, self.residents.batch)):
            gone = table[batch_row, leaving[batch_row]]
            if state.seq_len == 0:
                self._policies[batch_row] = self._fresh()
            elif len(gone):
                self._policies[batch_row].dropped(sorted(gone.tolist()))

    def touched(self, positions: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        for policy in self._policies:
            policy.touched(positions.tolist())

    def observed(self, seen: Observed) -> None:
        given = widened(seen.weights)
        for batch_row, policy in enumerate(self._policies):
            positions, weights = seen.positions[batch_row], given[batch_row]
            live = positions >= 0
            if not live.all():
                positions, weights = positions[live], weights[..., live]
            policy.observed(positions.copy(), weights)

    def victims(self, batch_row: int, guard: Guard, count: int, seq_len: int) -> NDArray[np.int64]:
        positions = self.residents.positions[batch_row]
        slots = np.flatnonzero(guard.passes(positions))
        slots = slots[np.argsort(positions[slots])]
        candidates = positions[slots]
        answer = self._policies[batch_row].victims(candidates.copy(), count)
        chosen = _checked(answer, candidates, count)
        return slots[np.searchsorted(candidates, chosen)]

    def take_from(self, other: AskedPolicies) -> None:
        self._policies = deepcopy(other._policies)

    def take_rows(self, origins: Sequence[Origin]) -> None:
        self._policies = [deepcopy(o.tracker._policies[o.batch_row]) for o in origins]

    def told(self) -> tuple[bytes, ...]:
        to_bytes = [getattr(policy, "to_bytes", None) for policy in self._policies]
        if not all(map(callable, to_bytes)):
            raise SnapshotError(
                f"the policy {self._policy!r} cannot be saved: it has no method to_bytes(); give it"
                f" to_bytes() and from_bytes(data), and load with load(path, policies=...)"
            )
        told = tuple(say() for say in to_bytes if say is not None)
        if not all(isinstance(data, bytes) for data in told):
            raise SnapshotError(f"to_bytes of {self._policy!r}: expected bytes, got {told!r:.80}")
        return told

    def tell(self, told: tuple[bytes, ...]) -> None:
        for policy, data in zip(self._policies, told, strict=True):
            if not callable(getattr(policy, "from_bytes", None)):
                raise SnapshotError(
                    f"policies: {self._policy!r} cannot go on from what was saved: it has no method"
                    f" from_bytes(data)"
                )
            policy.from_bytes(data)

    def _fresh(self) -> Any:
        try:
            return deepcopy(self._policy)
        except Exception as error:
            raise ConfigError(
                f"eviction: expected a policy that copy.deepcopy can copy, got {self._policy!r}"
            ) from error


def _checked(answer: Any, candidates: NDArray[np.int64], count: int) -> list[int]:
    """The positions that a policy named, if it named what was asked for."""
    try:
        named = [operator.index(position) for position in answer]
    except TypeError:
        raise PolicyError(f"victims: expected {count} positions, got {answer!r}") from None
    wrong = f"victims: expected {count} of the candidates, got {len(named)}"
    if len(set(named)) < len(named):
        raise PolicyError(f"{wrong}, one of them twice: {named[:20]}")
    others = sorted(set(named) - set(candidates.tolist()))
    if others:
        raise PolicyError(
            f"{wrong}; {others[:20]} are pinned, sinks or not resident: choose among candidates"
        )
    if len(named) != count:
        raise PolicyError(wrong)
    return named
