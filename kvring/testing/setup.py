"""What a backend is built for: a configuration as plain data, the same in Python and in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import SimpleNamespace
from typing import Any, cast

from ..config import Append, CacheConfig, Circular, Layout, Mode, Replace
from ..errors import ConfigError
from ..eviction import FIFO, LRU, HeavyHitter

__all__ = ["MODES", "POLICIES", "Setup", "mode_name", "policy_name"]

MODES: dict[str, type[Append] | type[Circular] | type[Replace]] = {
    "append": Append,
    "circular": Circular,
    "replace": Replace,
}

POLICIES: dict[str, type[Any]] = {"fifo": FIFO, "lru": LRU, "heavy_hitter": HeavyHitter}


def mode_name(mode: Mode) -> str:
    """``"append"``, ``"circular"`` or ``"replace"``."""
    return type(mode).__name__.lower()


@dataclass(frozen=True)
class Setup:
    """What a factory is asked to build.

    Parameters
    ----------
    strategies : tuple of Append, Circular or Replace
        One per layer. All the same unless the backend declares `mixed_layers`.
    batch, kv_heads, head_dim, value_dim : int
        Axes of the rows.
    dtype : str
        Name of the dtype of K and V.
    layout : {"BSHD", "BHSD"}
        Axis order of K and V, in and out: batch, tokens, kv_heads, dim, or heads before tokens.

    Examples
    --------
    >>> setup = Setup((Circular(window=4, sink_tokens=1),) * 2)
    >>> setup.layers, setup.mode, setup.window, setup.capacity
    (2, 'circular', 4, 5)
    """

    strategies: tuple[Mode, ...]
    batch: int = 1
    kv_heads: int = 1
    head_dim: int = 8
    value_dim: int = 8
    dtype: str = "float32"
    layout: Layout = "BSHD"

    @property
    def layers(self) -> int:
        """How many layers the cache has."""
        return len(self.strategies)

    @property
    def strategy(self) -> Mode:
        """The mode of layer 0, which is that of all layers unless they are mixed."""
        return self.strategies[0]

    @property
    def mode(self) -> str:
        """``"append"``, ``"circular"`` or ``"replace"``."""
        return mode_name(self.strategy)

    @property
    def capacity(self) -> int:
        """Slots that the contract gives a layer, in tokens."""
        return self.strategy.capacity

    @property
    def window(self) -> int:
        """How many most recent positions a query sees, its own included; 0 without a window."""
        return getattr(self.strategy, "window", 0)

    @property
    def sink_tokens(self) -> int:
        """First positions that are never evicted."""
        return getattr(self.strategy, "sink_tokens", 0)

    @property
    def rollback_tokens(self) -> int:
        """How many newest tokens can be dropped again after the ring has wrapped."""
        return getattr(self.strategy, "rollback_tokens", 0)

    def with_batch(self, batch: int) -> Setup:
        """The same with another number of batch rows."""
        return replace(self, batch=batch)

    def resized(self, numbers: Mapping[str, int]) -> Setup:
        """The same with other numbers, in all layers that have them.

        Raises
        ------
        ConfigError
            If no layer has one of them, or it is out of range.
        """
        known = {field.name for mode in self.strategies for field in fields(mode)}
        if not numbers or set(numbers) - known:
            raise ConfigError(f"resize: expected some of {sorted(known)}, got {dict(numbers)}")
        modes: list[Mode] = [
            replace(
                cast(Any, mode),
                **{f.name: numbers[f.name] for f in fields(mode) if f.name in numbers},
            )
            for mode in self.strategies
        ]
        return replace(self, strategies=tuple(modes))

    def cache_config(self) -> CacheConfig:
        """The same as kvring's own configuration."""
        return CacheConfig.build(**self.arguments())

    def arguments(self) -> dict[str, Any]:
        """What kvring's own cache, or its configuration, is built with."""
        names = ("layers", "batch", "kv_heads", "head_dim", "value_dim", "dtype", "layout")
        return {"strategy": self.strategies, **{name: getattr(self, name) for name in names}}

    def plain(self) -> SimpleNamespace:
        """Everything a factory may ask for, in an object that needs no kvring (for snippets)."""
        names = ["mode", "capacity", "window", "sink_tokens", "rollback_tokens", "layers", "batch"]
        names += ["kv_heads", "head_dim", "value_dim", "dtype", "layout"]
        numbers = {name: getattr(self, name) for name in names}
        numbers["strategies"] = [_plain(mode, "mode", "capacity") for mode in self.strategies]
        return SimpleNamespace(**numbers)

    def to_json(self) -> dict[str, Any]:
        """As JSON data; every strategy says its mode and its numbers."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["strategies"] = [_strategy_to_json(mode) for mode in self.strategies]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Setup:
        """The setup that `to_json` wrote.

        Raises
        ------
        ConfigError
            If a mode or a name is not known, or a number out of range.
        """
        strategies = []
        for entry in data["strategies"]:
            numbers = dict(entry)
            mode = MODES.get(numbers.pop("mode", None))
            if mode is None:
                raise ConfigError(f"mode: expected one of {', '.join(MODES)}, got {entry!r}")
            if "eviction" in numbers:
                numbers["eviction"] = _policy_from_json(numbers["eviction"])
            strategies.append(mode(**numbers))
        return cls(**{**data, "strategies": tuple(strategies)})


def policy_name(mode: Mode) -> str:
    """``"fifo"``, ``"lru"`` or ``"heavy_hitter"``; empty for a mode that has no policy."""
    policy = getattr(mode, "eviction", None)
    return next((name for name, kind in POLICIES.items() if type(policy) is kind), "")


def _plain(named: Any, *names: str) -> SimpleNamespace:
    """The attributes of a mode or a policy, under the same names; `names` are no fields."""
    numbers = {name: getattr(named, name) for name in (*names, *(f.name for f in fields(named)))}
    if numbers.get("eviction") is not None:
        numbers["eviction"] = _plain(numbers["eviction"], "policy")
    return SimpleNamespace(**numbers)


def _strategy_to_json(mode: Mode) -> dict[str, Any]:
    """The mode and its numbers; of a policy only where there is one."""
    numbers = asdict(mode)
    if isinstance(mode, Append) and mode.eviction is None:
        numbers = {"capacity": mode.capacity}
    elif isinstance(mode, Append):
        policy = {"policy": policy_name(mode), **numbers["eviction"]}
        numbers["eviction"] = {k: v for k, v in policy.items() if v is not None}
    return {"mode": mode_name(mode), **numbers}


def _policy_from_json(data: Mapping[str, Any]) -> Any:
    numbers = dict(data)
    kind = POLICIES.get(numbers.pop("policy", ""))
    if kind is None:
        raise ConfigError(f"eviction: expected one of {', '.join(POLICIES)}, got {data!r}")
    return kind(**numbers)
