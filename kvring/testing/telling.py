"""What `Truth` does to its references: other modes, and what only eviction policies know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..config import CacheConfig, Mode
from ..reference import ReferenceCache
from .steps import Forget, Observe, Touch

__all__ = ["tell", "with_modes"]


def tell(reference: ReferenceCache, step: Forget) -> None:
    """Carry out a step."""
    if isinstance(step, Observe):
        seen = reference.read(step.layer)
        columns = [seen.batch_row(b).positions for b in range(reference.config.batch)]
        weights = [[[step.weights(len(positions))]] for positions in columns]
        reference.observe(step.layer, columns, weights)
    elif isinstance(step, Touch):
        reference.touch(step.layer, step.positions)
    else:
        getattr(reference, step.op)(step.positions)


def with_modes(config: CacheConfig, changed: Callable[[Mode], Mode]) -> CacheConfig:
    """The configuration with every layer's mode changed."""
    layers = tuple(replace(layer, strategy=changed(layer.strategy)) for layer in config.layers)
    return replace(config, layers=layers)
