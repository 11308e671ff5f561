"""What pictures are made of: strategies, reference and the cache itself say the same."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
import pytest

from kvring import KVCache, KVRingError
from kvring.config import Append, Circular, Replace
from kvring.drawing import moments
from kvring.drawing.steps import Step
from kvring.errors import ConfigError
from kvring.eviction import FIFO, LRU, HeavyHitter
from kvring.reference import ReferenceCache
from tests.often import often

MODES = [
    Circular(4, 1, 2),
    Circular(1),
    Circular(3, 2),
    Circular(2, 0, 3),
    Append(9),
    Replace(5),
    Append(6, LRU(), 1),
    Append(5, FIFO()),
    Append(6, HeavyHitter(2), 2),
]


def random_steps(mode, seed):
    """Steps of all kinds; some are refused."""
    dice, seq_len, steps = random.Random(seed), 0, []
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=mode)  # says how far one has come
    verbs = ["update"] * 6 + ["truncate"] * 2 + ["reset"]
    if getattr(mode, "eviction", None):
        verbs += ["touch", "touch", "pin", "unpin", "evict"]
    for _ in range(25):
        verb = dice.choice(verbs)
        if verb == "update":
            step = Step(verb, (dice.choice([0, 1, 1, 1, 2, 3, 5, 8]),))
        elif verb == "truncate":
            step = Step(verb, (max(seq_len - dice.randrange(4), 0) + (dice.random() < 0.1),))
        elif verb == "reset":
            step = Step(verb)
        else:
            step = Step(
                verb, tuple(dice.randrange(seq_len + 1) for _ in range(dice.choice([1, 2])))
            )
        steps.append(step)
        with suppress(KVRingError):
            carry_out(cache, step)
        seq_len = cache.seq_len
    return steps


def carry_out(cache, step):
    """The step on a real cache; positions that its view shows and that left."""
    if step.verb == "update":
        rows = np.zeros((1, *step.numbers, 1, 1), np.float32)
        view = cache.update(0, rows, rows)
        return view.positions.tolist(), sorted(view.evicted.tolist())
    if step.verb == "touch":
        cache.touch(0, step.numbers)
    elif step.verb in ("reset", "truncate"):
        getattr(cache, step.verb)(*step.numbers)
    else:
        getattr(cache, step.verb)(step.numbers)
    return cache.read(0).positions.tolist(), None


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("seed", range(often(4, at_least=2)))
def test_a_drawn_history_is_that_of_a_real_cache(mode, seed):
    steps = random_steps(mode, seed)
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=mode)
    first, *drawn = moments(mode, steps)
    assert set(first.slots) == {-1}
    for step, moment in zip(steps, drawn, strict=True):
        try:
            seen, evicted = carry_out(cache, step)
        except KVRingError:
            assert moment.refusal, step
        else:
            assert not moment.refusal, step
            assert list(moment.visible) == seen
            assert evicted is None or sorted(moment.evicted) == evicted
        cache.check()
        held = dict(zip(cache.slots(0).tolist(), cache.positions(0).tolist(), strict=True))
        assert moment.slots == tuple(held.get(slot, -1) for slot in range(mode.capacity))
        assert moment.seq_len == cache.seq_len
        assert moment.newest_sees == tuple(cache.read(0).positions.tolist())


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_slots_of_the_strategy_hold_the_residents_of_the_reference(mode):
    steps = [step for step in random_steps(mode, 99) if step.verb == "update"]
    reference = ReferenceCache(moments_config(mode))
    for step, moment in zip(steps, moments(mode, steps)[1:], strict=True):
        if not moment.refusal:
            reference.update(0, [None] * step.numbers[0])
        assert list(moment.resident) == reference.positions(0)


def moments_config(mode):
    from kvring.config import CacheConfig

    return CacheConfig.build(layers=1, kv_heads=1, head_dim=1, strategy=mode)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_who_is_said_to_give_way_next_does(mode):
    steps = random_steps(mode, 5)
    for taken in range(len(steps)):
        *_, before, after = moments(mode, [*steps[:taken], 1])
        if not after.refusal and not isinstance(mode, Replace):
            assert after.evicted == (() if before.next_out is None else (before.next_out,))


def test_the_worked_example_of_the_contract():
    *_, moment = moments("circular(window=4, sink_tokens=1, rollback_tokens=2)", [11, 1])
    assert moment.slots == (0, 7, 8, 9, 10, 11, 6)
    assert (moment.head, moment.newest, moment.next_out) == (6, 5, 6)
    assert moment.visible == moment.newest_sees == (0, 8, 9, 10, 11)


def test_a_chunk_sees_rows_that_have_no_slot_any_more():
    *_, moment = moments(Circular(4, 1, 2), [12, 5])
    assert moment.visible == (0, 9, 10, 11, 12, 13, 14, 15, 16)
    assert moment.assembled == (9, 10)
    assert moment.evicted == (6, 7, 8, 9, 10)


def test_a_refused_step_says_why_and_changes_nothing():
    *_, before, after = moments(Circular(4, 1, 2), [12, "truncate:9"])
    assert "use rollback_tokens >= 3" in after.refusal
    assert (after.slots, after.seq_len) == (before.slots, before.seq_len)
    assert after.dropped == ()


def test_numbers_that_would_take_minutes_are_refused():
    with pytest.raises(ConfigError, match="too many to draw"):
        moments(Append(1_000_000_000), [1])
    with pytest.raises(ConfigError, match="too many to draw"):
        moments(Circular(4096), [100_000])
