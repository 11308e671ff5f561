"""What a model's configuration says of its layers, as transformers' own caches read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..config import Append, Circular
from ..errors import ConfigError

__all__ = ["CHUNKED", "LayerKind", "capacity_of", "kinds_of", "modes_of", "with_rollback"]

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
# How the number of tokens that a layer sees is called in the configuration.
WINDOWS = {SLIDING: "sliding_window", CHUNKED: "attention_chunk_size"}
# Layers without keys and values of their own: they use those of another layer, or have none.
WITHOUT = ("dummy", "moe", "mlp")


class LayerKind(NamedTuple):
    """A layer of the model.

    Parameters
    ----------
    name : str
        As in `config.layer_types`.
    window : int or None, tokens
        How many tokens its queries see in the model's own mask; None for all.
    """

    name: str
    window: int | None

    @property
    def is_stored(self) -> bool:
        """Whether it has keys and values of its own."""
        return self.name not in WITHOUT


def kinds_of(config: Any) -> list[LayerKind]:
    """Every layer of a text model's configuration.

    Raises
    ------
    ConfigError
        If a layer keeps something other than keys and values of tokens, such as a running state.
    """
    of_layers: Sequence[Any] = getattr(config, "per_layer_config", None) or (
        [config] * config.num_hidden_layers
    )
    names = getattr(config, "layer_types", None) or [_name_of(layer) for layer in of_layers]
    names = _without_shared(config, list(names))
    unknown = sorted(set(names) - {FULL, *WINDOWS, *WITHOUT})
    if unknown:
        raise ConfigError(
            f"layer_types: expected {FULL}, {SLIDING} or {CHUNKED}, got {', '.join(unknown)};"
            f" use the cache that transformers makes for this model"
        )
    return [
        LayerKind(name, getattr(layer, WINDOWS[name]) if name in WINDOWS else None)
        for name, layer in zip(names, of_layers, strict=False)
    ]


def capacity_of(config: Any, capacity: int | None) -> int:
    """How many tokens to reserve for a layer that sees all of them."""
    if capacity is None:
        capacity = getattr(config, "max_position_embeddings", None)
    if capacity is None:
        raise ConfigError(
            "capacity: this configuration has no max_position_embeddings; give RingCache a"
            " capacity, in tokens"
        )
    return capacity


def modes_of(
    kinds: Sequence[LayerKind],
    capacity: int,
    window: int | None,
    sink_tokens: int,
    rollback_tokens: int,
) -> list[Append | Circular]:
    """The mode of each layer; `window` is for those that would see everything.

    Raises
    ------
    ConfigError
        If a number is out of range, or there are sinks and nothing that is ever evicted.
    """
    modes: list[Append | Circular] = []
    for kind in kinds:
        seen = window if kind.window is None else kind.window
        modes.append(
            Append(capacity) if seen is None else Circular(seen, sink_tokens, rollback_tokens)
        )
    if sink_tokens and all(isinstance(mode, Append) for mode in modes):
        raise ConfigError(
            f"sink_tokens={sink_tokens}: every layer of this model keeps all tokens; give window="
            f" too, the number of recent tokens to keep behind the sinks"
        )
    return modes


def with_rollback(mode: Append | Circular, tokens: int) -> Append | Circular:
    """The same mode with at least so many tokens to roll back."""
    if isinstance(mode, Append) or mode.rollback_tokens >= tokens:
        return mode
    return replace(mode, rollback_tokens=tokens)


def _name_of(layer: Any) -> str:
    """The kind of a layer whose configuration does not name it."""
    for name, window in WINDOWS.items():
        if getattr(layer, window, None) is not None:
            return name
    return FULL


def _without_shared(config: Any, names: list[str]) -> list[str]:
    """Layers that use the keys and values of another one are called so."""
    modes = getattr(config, "kv_sharing_modes", None)
    if modes is not None:
        both = zip(names, modes, strict=True)
        return ["dummy" if mode == "reuse" else name for name, mode in both]
    shared = getattr(config, "num_kv_shared_layers", None) or 0  # releases before the modes
    return names[: len(names) - shared] + ["dummy"] * shared
