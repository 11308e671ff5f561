"""Every interleaving of two short operations, point by point: each has an explanation."""

import pytest

from kvring import Append, Circular, KVCache
from tests.threads.faults import FaultyCache, KeysThenValues, TornPositions
from tests.threads.histories import started
from tests.threads.linearizing import Call, explanation, told
from tests.threads.operations import Operation
from tests.threads.points import NoLock, PointLock, instrument, waits_pass
from tests.threads.schedules import DeadlockError, every_schedule, points_at_every_line_of
from tests.threads.sizes import only_in_full, only_in_whole

UPDATE = Operation("update", rows=(1,))
PAIRS = {
    "update x update": (UPDATE, Operation("update", rows=(2,))),
    "update x chunk": (UPDATE, Operation("update", rows=(2, 3, 4))),
    "update x update of the other layer": (UPDATE, Operation("update", layer=1, rows=(2,))),
    "update x read": (UPDATE, Operation("read")),
    "update x reading": (UPDATE, Operation("reading")),
    "update x positions": (UPDATE, Operation("positions")),
    "truncate x positions": (Operation("truncate", number=3), Operation("positions")),
    "update x truncate": (UPDATE, Operation("truncate", number=3)),
    "update x truncate by a total": (UPDATE, Operation("total", number=3)),
    "update x reset": (UPDATE, Operation("reset")),
    "truncate x read": (Operation("truncate", number=3), Operation("read")),
    "truncate x reading": (Operation("truncate", number=3), Operation("reading")),
    "truncate x truncate": (Operation("truncate", number=3), Operation("truncate", number=4)),
    "update x resize": (UPDATE, Operation("resize", number=5)),
    "chunk x resize": (Operation("update", rows=(2, 3, 4)), Operation("resize", number=8)),
    "resize x positions": (Operation("resize", number=6), Operation("positions")),
    "resize x reading": (Operation("resize", number=4), Operation("reading")),
    "copy x resize": (Operation("copy"), Operation("resize", number=9)),
    "copy x update": (Operation("copy"), UPDATE),
    "copy x truncate": (Operation("copy"), Operation("truncate", number=3)),
}
MODES = (Circular(2, 1, 1), Append(7))


def interleavings(operations, mode, kind=KVCache, lock=PointLock):
    """For each interleaving of `operations`: "" if it has an explanation, or the history."""

    def run(schedule):
        cache, reference = started(mode, kind)
        instrument(cache, schedule, lock)
        cache.points = schedule
        history = []

        def playing(thread, operation):
            lock_free = operation.verb == "positions"  # points of its own, then

            def work():
                began = schedule.now()
                with points_at_every_line_of("state" if lock_free else "", schedule):
                    result = operation.on_cache(cache)
                history.append(Call(thread, operation, began, schedule.now(), result))

            return work

        with waits_pass(schedule):
            schedule.run([playing(*numbered) for numbered in enumerate(operations)])
        look = Operation("copy")  # and what is left in the end must be explained, too
        history.append(Call(9, look, schedule.now(), schedule.now(), look.on_cache(cache)))
        cache.check()
        return "" if explanation(reference, history) else told(history)

    return every_schedule(run)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_every_interleaving_of_two_operations_has_an_explanation(name, mode):
    told = list(interleavings(PAIRS[name], mode))
    assert len(told) > 1
    assert set(told) == {""}


@only_in_full
@pytest.mark.parametrize("third", ["truncate", pytest.param("reading", marks=only_in_whole)])
def test_every_interleaving_of_three_operations_has_an_explanation(third):
    extra = Operation(third, number=3)
    told = list(interleavings((UPDATE, Operation("read"), extra), MODES[0]))
    assert len(told) > 100
    assert set(told) == {""}


def test_the_measure_itself_is_explained():
    assert set(interleavings(PAIRS["update x reading"], MODES[0], kind=FaultyCache)) == {""}


@pytest.mark.parametrize(
    ("fault", "pair", "mode"),
    [
        (KeysThenValues, "update x read", MODES[0]),
        (KeysThenValues, "update x reading", MODES[0]),
        (KeysThenValues, "copy x update", MODES[0]),
        (TornPositions, "update x positions", MODES[1]),
    ],
    ids=str,
)
def test_a_planted_fault_is_found(fault, pair, mode):
    assert any(interleavings(PAIRS[pair], mode, kind=fault))


@pytest.mark.parametrize("pair", ["update x update", "update x truncate"])
def test_a_cache_without_locks_is_found(pair):
    assert any(interleavings(PAIRS[pair], MODES[0], lock=NoLock))


def test_a_deadlock_is_found():
    def run(schedule):
        one, other = PointLock(schedule), PointLock(schedule)

        def take(first, second):
            with first, second:
                pass

        try:
            schedule.run([lambda: take(one, other), lambda: take(other, one)])
        except DeadlockError:
            return True
        return False

    found = list(every_schedule(run))
    assert True in found
    assert False in found
