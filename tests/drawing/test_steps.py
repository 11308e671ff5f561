"""Modes and steps as texts: what is meant, and what a wrong one is told."""

from __future__ import annotations

import re

import pytest

from kvring.config import Append, Circular, Replace
from kvring.drawing.steps import Step, mode_of, parse_mode, parse_step, step_of
from kvring.errors import ConfigError
from kvring.eviction import FIFO, LRU, HeavyHitter


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("circular(window=4, sink_tokens=1, rollback_tokens=2)", Circular(4, 1, 2)),
        ("Circular(4,1,2)", Circular(4, 1, 2)),
        (" circular ( 4 , rollback_tokens = 2 ) ", Circular(4, 0, 2)),
        ("append(capacity=8)", Append(8)),
        ("append(8, eviction=lru, sink_tokens=1)", Append(8, LRU(), 1)),
        ("append(8, eviction=LRU(threshold=0.1))", Append(8, LRU(0.1))),
        ("append(8, FIFO())", Append(8, FIFO())),
        ("append(8, heavy_hitter(2), 1)", Append(8, HeavyHitter(2), 1)),
        ("append(8, eviction=HeavyHitter(recent_tokens=2))", Append(8, HeavyHitter(2))),
        ("append(8, eviction=none)", Append(8)),
        ("replace(77)", Replace(77)),
    ],
)
def test_a_mode_can_be_written_as_its_class_or_small(text, mode):
    assert parse_mode(text) == mode == mode_of(mode)


@pytest.mark.parametrize(
    "mode", [Circular(4, 1, 2), Append(8), Append(8, LRU(0.5), 2), Append(8, HeavyHitter(1))]
)
def test_what_a_mode_prints_can_be_read_back(mode):
    assert parse_mode(repr(mode)) == mode


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("circluar(4)", "there is no 'circluar'; did you mean 'circular'?"),
        ("ring(4)", "there is no 'ring'; expected append, circular or replace"),
        ("circular(windows=4)", "circular has no 'windows'; did you mean 'window'?"),
        ("circular()", "circular needs window, as in circular(window=8)"),
        ("append", "append needs capacity, as in append(capacity=8)"),
        ("circular(4, 1, 2, 3)", "circular takes window, sink_tokens or rollback_tokens, got '3'"),
        ("circular(4, window=4)", "window is given twice"),
        ("circular(window=four)", "window: expected a number, got 'four'"),
        ("circular(window=4.5)", "window: expected an integer >= 1, got 4.5"),
        ("circular(window=0)", "window: expected an integer >= 1, got 0"),
        ("append(8, eviction=lur)", "there is no 'lur'; did you mean 'lru'?"),
        ("append(8, eviction=heavy_hitter)", "heavyhitter needs recent_tokens"),
        ("append(8, eviction=lru(threshold=2))", "threshold: expected a number above 0"),
        ("append(8, sink_tokens=9, eviction=lru)", "sink_tokens: expected fewer than capacity=8"),
        ("circular(4", "expected something like circular(window=4)"),
        ("__import__('os')", "expected append, circular or replace, such as circular(window=4)"),
    ],
)
def test_a_wrong_mode_is_told_what_would_be_right(text, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_mode(text)


def test_steps_are_tokens_or_verbs():
    assert step_of(9) == step_of("9") == step_of("update:9") == Step("update", (9,))
    assert parse_step("reset") == Step("reset")
    assert parse_step("pin:3,4") == step_of(Step("pin", (3, 4)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trunkate:12", "there is no 'trunkate'; did you mean 'truncate'?"),
        ("truncate", "expected truncate:12"),
        ("truncate:1,2", "expected truncate:12"),
        ("truncate:-1", "expected truncate:12, got '-1' behind the colon"),
        ("reset:1", "expected reset alone"),
        ("reset:", "expected reset alone"),
        ("pin:", "expected pin:3 or pin:3,4"),
        ("update:x", "expected a number of tokens, such as 3, got 'x'"),
        ("-3", "or a number of tokens"),
        ("1.5", "or a number of tokens"),
        ("", "or a number of tokens"),
    ],
)
def test_a_wrong_step_is_told_what_would_be_right(text, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_step(text)


def test_a_number_of_tokens_is_a_number():
    for wrong in (-1, True, 1.5):
        with pytest.raises(ConfigError, match="tokens: expected an integer >= 0"):
            step_of(wrong)
