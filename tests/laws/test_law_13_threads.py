"""Law 13: any method from any thread; an update is atomic per layer; readings hold writers off."""

import threading

import numpy as np
import pytest

from kvring import Append, Circular, ConfigError, LayerError, LockError
from tests.by_hand import fed, make, rows, settle, shown
from tests.threads.people import Person, all_at_once, somebody_inside

RING = Circular(3, 1, 2)


def test_threads_that_write_different_layers_do_not_disturb_each_other():
    cache = make(RING, layers=4)

    def write(layer):
        for position in range(200):
            cache.update(layer, *rows(position, position + 1))

    all_at_once([lambda layer=layer: write(layer) for layer in range(4)])
    settle(cache)
    for layer in range(4):
        assert shown(cache.read(layer)) == [0, 197, 198, 199]


def test_threads_that_write_one_layer_follow_each_other():
    cache = make(Append(400))

    def write():
        for _ in range(50):
            cache.update(0, *rows(7, 8))
            cache.update(0, *rows(7, 8), order="physical")

    all_at_once([write] * 4)
    settle(cache)
    assert cache.seq_len == cache.length == 400


def test_a_copy_of_a_view_holds_keys_values_and_positions_of_one_moment():
    cache, done = fed(RING, 6), threading.Event()

    def write():
        for position in range(6, 2_000):
            cache.update(0, *rows(position, position + 1))
        done.set()

    def look():
        seen = 0
        while not done.is_set() or not seen:
            with cache.reading(0) as view:
                assert shown(view)[-1] == view.positions[-1]
            seen += 1
        return seen

    counts = all_at_once([write, look, look])
    assert min(counts[1:]) > 0


def test_a_reading_holds_writers_of_its_layer_off_and_nobody_else():
    cache = fed(RING, 8, layers=2)
    with cache.reading(0) as view:
        before = shown(view)
        writer = Person(lambda: cache.update(0, *rows(8, 9)))
        assert writer.is_waiting()
        assert shown(Person(lambda: cache.update(1, *rows(8, 9))).outcome()) == [0, 6, 7, 8]
        assert shown(Person(lambda: cache.read(0)).outcome()) == before
        assert shown(view) == before == [0, 5, 6, 7]
    assert shown(writer.outcome()) == [0, 6, 7, 8]
    settle(cache)


@pytest.mark.parametrize("verb", ["truncate", "reset"])
def test_what_changes_all_layers_waits_for_the_readers_of_each(verb):
    cache = fed(RING, 8, layers=12)
    with cache.reading(11) as view:
        change = {"truncate": lambda: cache.truncate(7), "reset": cache.reset}[verb]
        changer = Person(change)
        assert changer.is_waiting()
        assert shown(view) == [0, 5, 6, 7]
        assert cache.seq_lens.tolist() == [[8]] * 12
    changer.outcome()
    assert cache.seq_lens.tolist() == [[7 if verb == "truncate" else 0]] * 12
    settle(cache)


def test_readers_read_side_by_side():
    cache = fed(RING, 8)
    with somebody_inside(lambda: cache.reading(0)), cache.reading(0) as view:
        assert shown(view) == [0, 5, 6, 7]


def test_a_reader_that_comes_after_a_waiting_writer_sees_what_was_written():
    cache = fed(RING, 8)
    with cache.reading(0):
        writer = Person(lambda: cache.update(0, *rows(8, 9)))
        assert writer.is_waiting()

        def read():
            with cache.reading(0) as view:
                return shown(view)

        late = Person(read)
        assert late.is_waiting()
    assert late.outcome() == [0, 6, 7, 8]
    writer.outcome()


def test_writers_are_not_starved_by_readers_that_always_overlap():
    cache, stop = fed(Append(60), 8), threading.Event()

    def read():
        while not stop.is_set():
            with cache.reading(0) as view:
                shown(view)

    readers = [Person(read) for _ in range(4)]
    for position in range(8, 58):
        Person(lambda p=position: cache.update(0, *rows(p, p + 1))).outcome()
    stop.set()
    for reader in readers:
        reader.outcome()
    assert cache.seq_len == 58


CHANGES = {
    "update": lambda cache: cache.update(0, *rows(8, 9)),
    "update of a chunk": lambda cache: cache.update(0, *rows(8, 13)),
    "update to a total": lambda cache: cache.update(0, *rows(8, 9), seq_len=9),
    "truncate by a total": lambda cache: cache.update(1, *rows(0, 0), seq_len=7),
    "truncate": lambda cache: cache.truncate(7),
    "reset": lambda cache: cache.reset(),
    "step": lambda cache: cache.step(1).__enter__(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_thread_that_reads_and_then_writes_is_told_at_once(name):
    cache = fed(RING, 8, layers=2)
    with cache.reading(1), cache.reading(0) as view:
        with pytest.raises(LockError):
            CHANGES[name](cache)
        assert shown(view) == [0, 5, 6, 7]
    assert cache.seq_lens.tolist() == [[8], [8]]
    settle(cache)
    Person(lambda: cache.truncate(7)).outcome()
    assert cache.seq_len == 7


def test_a_thread_that_reads_may_do_all_that_changes_nothing():
    cache = fed(RING, 8, layers=2)
    with cache.reading(0) as view:
        writer = Person(lambda: cache.truncate(7))
        assert writer.is_waiting()
        with cache.reading(0) as again, cache.reading(1) as other:
            assert shown(view) == shown(again) == shown(other) == shown(view.copy())
        assert shown(cache.read(0)) == shown(cache.copy().read(1)) == [0, 5, 6, 7]
        assert cache.positions(0).tolist() == [0, 3, 4, 5, 6, 7]
        cache.check()
        assert writer.is_alive()
    writer.outcome()


def test_a_thread_that_reads_one_layer_may_write_another():
    cache = fed(RING, 8, layers=2)
    with cache.reading(0):
        assert shown(cache.update(1, *rows(8, 9))) == [0, 6, 7, 8]


def test_layers_may_be_read_together_in_any_order_while_somebody_waits_to_change_them_all():
    cache = fed(RING, 8, layers=2)
    first, second = threading.Event(), threading.Event()

    def read(a, b, mine, others):
        with cache.reading(a):
            mine.set()
            others.wait()
            assert changer.is_waiting()
            with cache.reading(b) as view:
                return shown(view)

    changer = Person(lambda: (first.wait(), second.wait(), cache.truncate(7)))
    readers = [
        Person(lambda: read(0, 1, first, second)),
        Person(lambda: read(1, 0, second, first)),
    ]
    assert [reader.outcome() for reader in readers] == [[0, 5, 6, 7]] * 2
    changer.outcome()
    assert cache.seq_len == 7


def test_a_reading_is_for_one_with_block():
    cache = fed(RING, 8)
    reading = cache.reading(0, order="physical")
    with reading as view:
        assert view.order == "physical"
    with pytest.raises(LockError, match="entered once"):
        reading.__enter__()
    cache.update(0, *rows(8, 9))


@pytest.mark.parametrize(
    ("arguments", "error"), [((1,), LayerError), ((0, "random"), ConfigError)], ids=str
)
def test_a_reading_of_what_is_not_there_is_refused(arguments, error):
    cache = fed(RING, 8)
    with pytest.raises(error):
        cache.reading(arguments[0], **({"order": arguments[1]} if len(arguments) > 1 else {}))
    cache.update(0, *rows(8, 9))


def test_readings_that_are_over_leave_nothing_behind():
    cache = fed(RING, 8)
    for _ in range(100):
        with cache.reading(0):
            pass
    assert len(cache.rings[0].readers.inside) == 1
    cache.update(0, *rows(8, 9))
    assert cache.rings[0].readers.inside == []


def test_an_exception_in_a_reading_lets_the_layer_go():
    cache = fed(RING, 8)
    with pytest.raises(ZeroDivisionError), cache.reading(0):
        raise ZeroDivisionError
    assert np.array_equal(cache.update(0, *rows(8, 9)).positions, [0, 6, 7, 8])
