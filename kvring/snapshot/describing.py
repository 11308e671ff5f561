"""A cache's configuration as text, and back: everything that the constructor is told."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Append, CacheConfig, Circular, Mode, Replace
from ..errors import ConfigError, SnapshotError
from ..eviction import FIFO, LRU, HeavyHitter
from .container import parsed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OWN_POLICY", "described", "rebuilt", "stored_dtype"]

_MODES = {mode.__name__: mode for mode in (Append, Circular, Replace)}
_POLICIES = {policy.__name__: policy for policy in (FIFO, LRU, HeavyHitter)}
OWN_POLICY = "own"
_CACHE_KEYS = {"batch", "dtype", "layout", "huge_pages", "layers"}
_WIDTHS = ("kv_heads", "head_dim", "value_dim")
# NumPy's and ml_dtypes' names in the words of safetensors. What has none there is stored as the
# unsigned integers of the same bytes.
_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}


def stored_dtype(dtype: np.dtype[Any]) -> str:
    """The dtype in which a file holds K and V.

    Examples
    --------
    >>> stored_dtype(np.dtype("float16")), stored_dtype(np.dtype("complex64"))
    ('F16', 'U64')
    """
    return _NAMES.get(dtype.name, f"U{8 * dtype.itemsize}")


def described(config: CacheConfig, huge_pages: bool) -> str:
    """The configuration as JSON. Of a policy of one's own it says the name of its class."""
    layers = [
        {**_described_mode(of.strategy), **{name: getattr(of, name) for name in _WIDTHS}}
        for of in config.layers
    ]
    told = {
        "batch": config.batch,
        "dtype": config.dtype.name,
        "layout": config.layout,
        "huge_pages": huge_pages,
        "layers": layers,
    }
    return json.dumps(told, separators=(",", ":"))


def rebuilt(text: str, policies: Any) -> tuple[CacheConfig, bool]:
    """The configuration that `described` told, and whether it wants huge pages."""
    told = parsed(text, "config")
    _check_keys(told, _CACHE_KEYS, "config")
    huge_pages, layers = told["huge_pages"], told["layers"]
    if type(huge_pages) is not bool or not isinstance(layers, list):
        raise SnapshotError("config: expected true or false for huge_pages, a list for layers")
    widths: dict[str, list[Any]] = {name: [] for name in _WIDTHS}
    modes = []
    for number, layer in enumerate(layers):
        if not isinstance(layer, dict) or not {"mode", *_WIDTHS} <= set(layer):
            raise SnapshotError(f"config: layer {number} lacks what a layer has")
        for name in _WIDTHS:
            widths[name].append(layer.pop(name))
        modes.append(_rebuilt_mode(layer, number, policies))
    config: CacheConfig = _made(
        CacheConfig.build,
        {
            "layers": len(layers),
            **widths,
            "strategy": modes,
            **{name: told[name] for name in ("batch", "dtype", "layout")},
        },
    )
    if config.dtype.name != told["dtype"]:
        raise SnapshotError(f"config: expected the name of a dtype, got {told['dtype']!r:.80}")
    return config, huge_pages


def _described_mode(mode: Mode) -> dict[str, Any]:
    if isinstance(mode, Append):
        told = {"mode": "Append", "capacity": mode.capacity, "sink_tokens": mode.sink_tokens}
        return {**told, "eviction": _described_policy(mode.eviction)}
    name = next(name for name, known in _MODES.items() if isinstance(mode, known))
    return {"mode": name, **{of.name: getattr(mode, of.name) for of in fields(_MODES[name])}}


def _described_policy(policy: Any) -> dict[str, Any] | None:
    if policy is None:
        return None
    if type(policy) in _POLICIES.values():
        return {"policy": type(policy).__name__, **asdict(policy)}
    return {"policy": OWN_POLICY, "class": type(policy).__name__}


def _rebuilt_mode(told: dict[str, Any], number: int, policies: Any) -> Mode:
    name = told.pop("mode")
    if not isinstance(name, str) or name not in _MODES:
        raise SnapshotError(f"config: layer {number}: expected a mode, got {name!r:.80}")
    if told.get("eviction") is not None:
        told["eviction"] = _rebuilt_policy(told["eviction"], number, policies)
    mode: Mode = _made(_MODES[name], told)
    return mode


def _rebuilt_policy(told: Any, number: int, policies: Any) -> Any:
    if not isinstance(told, dict):
        raise SnapshotError(f"config: layer {number}: expected a policy, got {told!r:.80}")
    name = told.pop("policy", None)
    if name == OWN_POLICY:
        _check_keys(told, {"class"}, f"config: policy of layer {number}")
        return _given_policy(told["class"], number, policies)
    if not isinstance(name, str) or name not in _POLICIES:
        raise SnapshotError(f"config: layer {number}: expected a policy, got {name!r:.80}")
    return _made(_POLICIES[name], told)


def _given_policy(name: Any, number: int, policies: Any) -> Any:
    """The policy of one's own that the caller of `load` has for a layer."""
    policy = policies.get(number) if isinstance(policies, dict) else policies
    if policy is None:
        raise SnapshotError(
            f"layer {number} has a policy of your own, {name!r:.80}; expected one to go on with,"
            f" got none: use load(path, policies={{{number}: policy}}), or policies=policy for all"
            f" layers"
        )
    if type(policy).__name__ != name:
        raise SnapshotError(
            f"policies: layer {number} was saved with a policy of class {name!r:.80}, got"
            f" {policy!r:.80}"
        )
    return policy


def _made(what: Any, arguments: Mapping[str, Any]) -> Any:
    """What a constructor makes of arguments that a file gave."""
    try:
        return what(**arguments)
    except (ConfigError, TypeError) as error:
        raise SnapshotError(f"config: {error}") from None


def _check_keys(told: dict[str, Any], expected: set[str], what: str) -> None:
    if set(told) != expected:
        raise SnapshotError(f"{what}: expected {sorted(expected)}, got {sorted(told)!r:.200}")
