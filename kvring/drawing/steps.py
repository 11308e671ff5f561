"""Modes and steps as people write them: ``circular(window=4)``, ``9``, ``truncate:12``.

Nothing is ever evaluated; what is not understood is a ConfigError that says what would be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeAlias

from ..config import Append, Circular, Mode, Replace
from ..errors import ConfigError
from ..eviction import FIFO, LRU, HeavyHitter
from ..options import checked_int
from ..text import listed, near

__all__ = ["Step", "StepLike", "mode_of", "parse_mode", "parse_step", "step_of"]

MODES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "append": (Append, ("capacity", "eviction", "sink_tokens")),
    "circular": (Circular, ("window", "sink_tokens", "rollback_tokens")),
    "replace": (Replace, ("capacity",)),
}
POLICIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "fifo": (FIFO, ()),
    "lru": (LRU, ("threshold",)),
    "heavyhitter": (HeavyHitter, ("recent_tokens",)),
}
SHOWN_POLICIES = "fifo, lru, lru(threshold=0.1), heavy_hitter(recent_tokens=2)"

# verb: how many numbers it takes, None for one or more
VERBS: dict[str, int | None] = {
    "update": 1,
    "truncate": 1,
    "reset": 0,
    "touch": None,
    "pin": None,
    "unpin": None,
    "evict": None,
}


# What has more fits no counter.
MOST_DIGITS = 18


class Step(NamedTuple):
    """One thing that happens to a layer.

    Parameters
    ----------
    verb : str
        "update", "truncate", "reset", "touch", "pin", "unpin" or "evict".
    numbers : tuple of int
        Tokens, a seq_len, or positions.

    Examples
    --------
    >>> print(Step("update", (1,)), Step("truncate", (12,)), Step("pin", (3, 4)), sep="; ")
    1 token; truncate(12); pin(3, 4)
    """

    verb: str
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.verb == "update":
            return f"{self.numbers[0]} token{'s' * (self.numbers[0] != 1)}"
        return f"{self.verb}({', '.join(map(str, self.numbers))})"


StepLike: TypeAlias = "int | str | Step"


def step_of(step: StepLike) -> Step:
    """A step as it is, of a number of tokens, or of a text.

    Raises
    ------
    ConfigError
        If it is none.
    """
    if isinstance(step, Step):
        return step
    if isinstance(step, str):
        return parse_step(step)
    return Step("update", (checked_int("tokens", step, least=0),))


def mode_of(mode: Mode | str) -> Mode:
    """A mode as it is, or of a text; ConfigError if it is none."""
    if isinstance(mode, (Append, Circular, Replace)):
        return mode
    return parse_mode(mode)


def parse_step(text: str) -> Step:
    """A step of a text: ``"9"``, ``"truncate:12"``, ``"reset"``, ``"pin:3,4"``.

    Raises
    ------
    ConfigError
        If it is none, with what would be.

    Examples
    --------
    >>> parse_step("9"), parse_step("evict:3,4")
    (Step(verb='update', numbers=(9,)), Step(verb='evict', numbers=(3, 4)))
    >>> parse_step("trunkate:12")
    Traceback (most recent call last):
    ...
    kvring.errors.ConfigError: step 'trunkate:12': there is no 'trunkate'; did you mean 'truncate'?
    """
    verb, colon, rest = text.strip().partition(":")
    if re.fullmatch(r"[0-9]+", text.strip()):
        verb, colon, rest = "update", ":", text.strip()
    if verb not in VERBS:
        raise ConfigError(f"step {text!r}: {_unknown(verb, VERBS)}{_or_tokens(verb)}")
    longest = max(map(len, re.findall("[0-9]+", rest)), default=0)
    if longest > MOST_DIGITS:
        raise ConfigError(
            f"step {text!r:.40}: a number of {longest} digits is too large to draw,"
            f" expected at most {MOST_DIGITS}"
        )
    if rest and not re.fullmatch("[0-9]+(,[0-9]+)*", rest):
        raise ConfigError(f"step {text!r}: expected {_form(verb)}, got {rest!r} behind the colon")
    numbers = tuple(int(number) for number in rest.split(",")) if rest else ()
    wanted = VERBS[verb]
    fits = len(numbers) == wanted if wanted is not None else len(numbers) > 0
    if not fits or bool(colon) != bool(numbers):
        raise ConfigError(f"step {text!r}: expected {_form(verb)}")
    return Step(verb, numbers)


def parse_mode(text: str) -> Mode:
    """A mode of a text: ``"circular(window=4, sink_tokens=1)"``, ``"append(8, eviction=lru)"``.

    Names may be written small or as the classes are; numbers with or without their names.

    Raises
    ------
    ConfigError
        If it is none, with what would be.

    Examples
    --------
    >>> parse_mode("circular(4, rollback_tokens=2)")
    Circular(window=4, sink_tokens=0, rollback_tokens=2)
    >>> parse_mode("append(capacity=8, eviction=heavy_hitter(recent_tokens=2))")
    Append(capacity=8, eviction=HeavyHitter(recent_tokens=2))
    >>> parse_mode("circular(windows=4)")
    Traceback (most recent call last):
    ...
    kvring.errors.ConfigError: mode: circular has no 'windows'; did you mean 'window'?
    """
    if not isinstance(text, str):
        raise ConfigError(f"mode: expected Append, Circular, Replace or a text, got {text!r}")
    made: Mode = _made("mode", text, MODES, "circular(window=4), append(capacity=8), replace(8)")
    return made


def _made(what: str, text: str, known: dict[str, tuple[Any, tuple[str, ...]]], shown: str) -> Any:
    """What ``name(argument, name=argument)`` makes."""
    found = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if not found:
        raise ConfigError(f"{what}: expected something like {shown}, got {text!r}")
    name, inside = found.group(1).lower().replace("_", ""), found.group(2) or ""
    if name not in known:
        told = _unknown(found.group(1), known)
        raise ConfigError(f"{what}: {told}{' Such' if told.endswith('?') else ', such'} as {shown}")
    make, parameters = known[name]
    given: dict[str, Any] = {}
    for number, argument in enumerate(_arguments(inside)):
        key, equals, value = argument.partition("=")
        if not equals:
            if number >= len(parameters):
                raise ConfigError(f"{what}: {name} takes {listed(parameters)}, got {argument!r}")
            key, value = parameters[number], argument
        key = key.strip()
        if key not in parameters:
            raise ConfigError(f"{what}: {name} has no {key!r}{near(key, parameters)}")
        if key in given:
            raise ConfigError(f"{what}: {key} is given twice in {text!r}")
        given[key] = _value(key, value.strip())
    missing = parameters[:1] if known is MODES or name == "heavyhitter" else ()
    if any(parameter not in given for parameter in missing):
        raise ConfigError(f"{what}: {name} needs {missing[0]}, as in {name}({missing[0]}=8)")
    return make(**given)


def _value(name: str, text: str) -> Any:
    if name == "eviction":
        return None if text.lower() == "none" else _made(name, text, POLICIES, SHOWN_POLICIES)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ConfigError(f"{name}: expected a number, got {text!r}")


def _arguments(text: str) -> list[str]:
    """The parts between commas that are in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _unknown(word: str, known: Iterable[str]) -> str:
    return f"there is no {word!r}{near(word, known)}"


def _or_tokens(verb: str) -> str:
    return "" if get_close_matches(verb, VERBS, cutoff=0.6) else ", or a number of tokens"


def _form(verb: str) -> str:
    wanted = VERBS[verb]
    if verb == "update":
        return "a number of tokens, such as 3"
    if wanted == 0:
        return f"{verb} alone"
    return f"{verb}:12" if wanted == 1 else f"{verb}:3 or {verb}:3,4"
