"""step: all layers advance together, or every layer is where the step began."""

import threading

import pytest

from kvring import (
    FIFO,
    Append,
    CapacityError,
    Circular,
    ConfigError,
    DTypeError,
    LockError,
    Replace,
    ShapeError,
    StaleViewError,
)
from tests.by_hand import fed, make, rows, settle, shown
from tests.threads.people import Person, somebody_inside

RING = Circular(4, 1, 2)  # of the worked example


def advance(cache, layer, tokens=1):
    start = int(cache.seq_lens[layer, 0])
    view = cache.update(layer, *rows(start, start + tokens))
    settle(cache)
    return view


def failing_step(cache, work, tokens=1):
    """A step in which something goes wrong once `work` is done."""
    with pytest.raises(ZeroDivisionError):
        _step(cache, work, tokens)


def _step(cache, work, tokens):
    with cache.step(tokens=tokens):
        work()
        raise ZeroDivisionError


def test_a_step_that_comes_to_its_end_stays():
    cache = fed(RING, 12, layers=3)
    with cache.step(tokens=2):
        for layer in range(3):
            advance(cache, layer, 2)
    assert cache.seq_lens.tolist() == [[14]] * 3
    assert shown(cache.read(2)) == [0, 10, 11, 12, 13]


@pytest.mark.parametrize("layers_done", [0, 1, 2, 3])
@pytest.mark.parametrize("strategy", [Append(20), RING], ids=str)
def test_an_exception_takes_every_layer_back_to_where_the_step_began(strategy, layers_done):
    cache = fed(strategy, 12, layers=3)
    before = [shown(cache.read(layer)) for layer in range(3)]
    two_tokens = [advance, advance]
    layers = range(layers_done)
    failing_step(cache, lambda: [a(cache, layer) for layer in layers for a in two_tokens], 2)
    settle(cache)
    assert cache.seq_lens.tolist() == [[12]] * 3
    assert [shown(cache.read(layer)) for layer in range(3)] == before
    for layer in range(3):
        advance(cache, layer)


def test_each_layer_goes_back_to_its_own_start():
    cache = fed(Append(9), 2, layers=2)
    advance(cache, 0, 3)
    failing_step(cache, lambda: advance(cache, 0))
    assert cache.seq_lens.tolist() == [[5], [2]]


def test_a_step_taken_back_makes_its_views_stale_and_one_that_did_nothing_makes_none():
    cache = fed(RING, 12)
    early = cache.read(0)
    failing_step(cache, lambda: None)
    assert shown(early) == [0, 8, 9, 10, 11]
    inside = []
    failing_step(cache, lambda: inside.append(advance(cache, 0)))
    with pytest.raises(StaleViewError):
        inside[0].keys  # noqa: B018


def test_a_step_that_some_layer_has_not_taken_is_taken_back():
    cache = fed(RING, 12, layers=2)
    with pytest.raises(ShapeError, match=r"layer 1 took 0 tokens .* another took 1"), cache.step():
        advance(cache, 0)
    assert cache.seq_lens.tolist() == [[12], [12]]


@pytest.mark.parametrize(
    ("strategy", "before", "tokens", "match"),
    [
        (RING, 12, 3, r"position 8, which position 11 sees, .* rollback_tokens >= 3"),
        (RING, 6, 3, r"position 2, which position 5 sees, .* rollback_tokens >= 3"),
        (Circular(4), 4, 1, r"position 0, which position 3 sees, .* rollback_tokens >= 1"),
        (Replace(9), 3, 1, r"layer 0 replaces its content at every update"),
    ],
    ids=str,
)
def test_a_step_that_could_not_be_taken_back_does_not_begin(strategy, before, tokens, match):
    cache = make(strategy)
    advance(cache, 0, before)
    view = cache.read(0)
    with pytest.raises(ConfigError, match=match), cache.step(tokens):
        raise AssertionError("it began")
    assert len(shown(view)) > 0


@pytest.mark.parametrize(
    ("strategy", "before", "tokens"),
    [(RING, 12, 2), (RING, 5, 2), (RING, 1, 99), (RING, 0, 99), (Append(20), 12, 8)],
    ids=str,
)
def test_a_step_that_can_be_taken_back_is(strategy, before, tokens):
    cache = make(strategy)
    if before:
        advance(cache, 0, before)
    failing_step(cache, lambda: [advance(cache, 0) for _ in range(tokens)], tokens)
    assert cache.seq_len == before
    settle(cache)


def test_any_layer_may_be_the_one_that_cannot_go_back():
    cache = make([Append(20), Circular(4)], layers=2)
    for layer in range(2):
        advance(cache, layer, 6)
    with pytest.raises(ConfigError, match="layer 1 could not take back"), cache.step():
        pass


def test_a_step_without_room_does_not_begin():
    cache = fed(Append(4), 3)
    with pytest.raises(CapacityError), cache.step(2):
        raise AssertionError("it began")
    with cache.step():
        advance(cache, 0)


@pytest.mark.parametrize(
    ("tokens", "error"), [(0, ShapeError), (-1, ShapeError), ("1", DTypeError)]
)
def test_a_step_of_no_tokens_is_refused(tokens, error):
    with pytest.raises(error), fed(RING, 3).step(tokens):
        raise AssertionError("it began")


def test_inside_a_step_its_thread_cannot_take_tokens_back_or_begin_another():
    cache = fed(RING, 12)
    with cache.step():
        advance(cache, 0)
        for call in (cache.reset, lambda: cache.truncate(12), lambda: cache.step().__enter__()):
            with pytest.raises(LockError, match="in a step of this cache"):
                call()
        assert cache.copy().seq_len == 13
    assert cache.seq_len == 13


def test_steps_truncates_and_copies_of_other_threads_wait_for_the_end_of_a_step():
    cache = fed(RING, 12, layers=2)

    def one_step():
        with cache.step():
            for layer in range(2):
                cache.update(layer, *rows(13, 14))

    with cache.step():
        advance(cache, 0)
        copier, stepper = Person(cache.copy), Person(one_step)
        assert copier.is_waiting()
        assert stepper.is_waiting()
        advance(cache, 1)
    stepper.outcome()
    copied = copier.outcome().seq_lens
    assert copied[0, 0] == copied[1, 0] > 12
    Person(lambda: cache.truncate(12)).outcome()
    assert cache.seq_lens.tolist() == [[12], [12]]


def test_the_layers_of_a_step_may_be_written_by_other_threads():
    cache = fed(RING, 12, layers=2)
    with cache.step():
        advance(cache, 0)
        Person(lambda: cache.update(1, *rows(12, 13))).outcome()
    assert cache.seq_lens.tolist() == [[13], [13]]


def test_going_back_waits_for_readers():
    cache = fed(RING, 12)

    def failing():
        with cache.step():
            cache.update(0, *rows(12, 13))
            stepped.append(None)
            gate.wait()
            raise ZeroDivisionError

    stepped, gate = [], threading.Event()
    stepper = Person(failing)
    while not stepped:
        assert stepper.is_waiting(0.001)
    with somebody_inside(lambda: cache.reading(0)) as view:
        gate.set()
        assert stepper.is_waiting()
        assert shown(view) == [0, 9, 10, 11, 12]
    with pytest.raises(ZeroDivisionError):
        stepper.outcome()
    assert cache.seq_len == 12


def test_a_step_that_would_have_rows_evicted_is_refused_on_entering():
    cache = make(Append(4, eviction=FIFO()), layers=2)
    for _ in range(3):
        for layer in range(2):
            advance(cache, layer)
    with pytest.raises(ConfigError, match="eviction policy"), cache.step(tokens=2):
        pytest.fail("entered")
    failing_step(cache, lambda: advance(cache, 0))
    assert cache.seq_lens.tolist() == [[3], [3]]
    with cache.step():
        for layer in range(2):
            advance(cache, layer)
    assert cache.seq_len == 4
    cache.check()
