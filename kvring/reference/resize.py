"""The reference: other numbers of slots for what is there already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..config import CacheConfig, Circular, Mode
from ..errors import CapacityError, ConfigError, EvictedError
from .arguments import checked_index
from .eviction import ReferenceEviction
from .sequence import TokenSequence

__all__ = ["ReferenceResize"]


class ReferenceResize(ReferenceEviction):
    """The part of a :class:`~kvring.reference.ReferenceCache` that changes its capacity."""

    config: CacheConfig

    def resize(
        self,
        *,
        capacity: int | None = None,
        window: int | None = None,
        rollback_tokens: int | None = None,
    ) -> None:
        """Give layers other numbers of slots; what is resident stays, as far as it has a place.

        Parameters
        ----------
        capacity : int, tokens, optional
            Of all layers in append and replace mode; no less than any batch row there holds.
        window : int, tokens, optional
            Of all circular layers; a larger one only while no batch row there has lost a row.
        rollback_tokens : int, tokens, optional
            Of all circular layers. Rows behind the new window and these go.

        Raises
        ------
        DTypeError, ConfigError, CapacityError, EvictedError
            If a number is no integer; out of range, for layers that there are not, or none is
            given; less than what is held; a larger window than there are rows for. Nothing changes.
        """
        given = {
            name: checked_index(name, value)
            for name, value in (
                ("capacity", capacity),
                ("window", window),
                ("rollback_tokens", rollback_tokens),
            )
            if value is not None
        }
        old = [layer.strategy for layer in self.config.layers]
        new: list[Mode] = [replace(mode, **_numbers_for(mode, given)) for mode in old]
        known = {name for mode in old for name in _numbers_for(mode, given)}
        if not given or known != set(given):
            raise ConfigError(f"resize: expected numbers that the layers have, got {given}")
        self.change_modes(new)

    def change_modes(self, modes: list[Mode]) -> None:
        """Go on in other numbers, one mode per layer, of the same kind as before; as `resize`."""
        for number, (mode, sequences) in enumerate(zip(modes, self._sequences, strict=True)):
            for sequence in sequences:
                _check_holds(number, sequence, mode)
        for mode, sequences in zip(modes, self._sequences, strict=True):
            for sequence in sequences:
                sequence.resized(mode)
        layers = zip(self.config.layers, modes, strict=True)
        changed = tuple(replace(layer, strategy=mode) for layer, mode in layers)
        self.config = replace(self.config, layers=changed)


def _numbers_for(mode: Mode, given: dict[str, int]) -> dict[str, Any]:
    """Those of the numbers given that a mode has."""
    names = ("window", "rollback_tokens") if isinstance(mode, Circular) else ("capacity",)
    return {name: number for name, number in given.items() if name in names}


def _check_holds(layer: int, sequence: TokenSequence, mode: Mode) -> None:
    """Whether what is there has a place, and all that a larger window would show is there."""
    held = len(sequence.resident)
    if not isinstance(mode, Circular):
        if held > mode.capacity:
            raise CapacityError(f"capacity: layer {layer} holds {held} rows, got {mode.capacity}")
    elif mode.window > _window(sequence.strategy) and held < sequence.seq_len:
        raise EvictedError(f"window: layer {layer} has lost rows that {mode.window} would show")


def _window(mode: Mode) -> int:
    assert isinstance(mode, Circular)
    return mode.window
