"""The parts of attend: exp, what stored words mean, threads that share work."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kvring import _jit_floats, compiling
from kvring.attention import workers
from kvring.attention.tiles import exp

ml_dtypes = pytest.importorskip("ml_dtypes")


def test_exp_is_that_of_float64_to_float32s_digits() -> None:
    for x in [0.0, -1e-8, *np.linspace(-86.9, 0, 400)]:
        with np.errstate(all="ignore"):
            got = float(exp(np.float32(x)))
        expected = np.exp(np.float64(np.float32(x)))
        assert abs(got - expected) <= 2e-7 * expected
    with np.errstate(all="ignore"):
        assert exp(np.float32(-88)) == exp(np.float32(-np.inf)) == 0
        assert np.isnan(exp(np.float32(np.nan)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_word_of_16_bits_means_what_numpy_says(dtype: str) -> None:
    words = np.arange(1 << 16, dtype=np.uint16)
    kind = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    with np.errstate(all="ignore"):
        expected = words.view(kind).astype(np.float32)
        given = words if dtype == "float16" else words.view(np.int16)
        got = np.array([_jit_floats.number(word) for word in given[::7]], np.float32)
    np.testing.assert_array_equal(got, expected[::7])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_kernel_decodes_every_number_of_the_storage(dtype: str) -> None:
    """One row, seen whole, comes out as its value: 16-bit patterns, value by value."""
    kind = np.dtype(getattr(ml_dtypes, dtype)) if dtype == "bfloat16" else np.dtype(dtype)
    if dtype == "float32":
        values = np.linspace(-3e38, 3e38, 4096, dtype=np.float32)
    else:
        values = np.arange(0, 1 << 16, 16, dtype=np.uint16).view(kind)
    values = values[np.isfinite(values.astype(np.float32))]
    keys = np.zeros((1, 1, 1, 1), kind)
    rows = values.reshape(1, 1, 1, -1)
    out = np.empty(rows.shape, np.float32)
    empty, scratch = np.empty(0, np.float32), np.empty(10_000, np.float32)
    nothing = empty.reshape(0, 0, 0), empty.reshape(0, 0, 0, 0)
    query, spans = np.zeros((1, 1, 1, 1), np.float32), np.array([[0, 0, 1, 0, 0]])
    attend_rows = compiling.attention_kernel(dtype)
    attend_rows(query, keys, rows, spans, empty, out, *nothing, scratch, 1.0, 0.0, 0, 1, 0, 1, 0, 1)
    assert (out == rows.astype(np.float32)).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_unit_is_done_once_whatever_the_number_of_threads(threads: int) -> None:
    done = np.zeros(5, int)
    names: set[str] = set()

    def part(start: int, stop: int) -> None:
        done[start:stop] += 1
        names.add(threading.current_thread().name)

    workers.spread(part, 5, threads)
    assert (done == 1).all()
    assert threading.current_thread().name in names


def test_nothing_runs_any_more_when_a_part_has_failed_or_was_interrupted() -> None:
    running: list[int] = []
    begun = threading.Event()

    def part(start: int, stop: int) -> None:
        if start == 0:
            begun.wait(5)
            raise KeyboardInterrupt
        running.append(start)
        begun.set()
        threading.Event().wait(0.05)
        running.remove(start)

    with pytest.raises(KeyboardInterrupt):
        workers.spread(part, 2, 2)
    assert begun.is_set()
    assert running == []


def test_an_error_in_another_thread_comes_up_in_the_callers() -> None:
    def part(start: int, stop: int) -> None:
        if start:
            raise ValueError("of the other thread")

    with pytest.raises(ValueError, match="of the other thread"):
        workers.spread(part, 2, 2)


def test_what_no_other_thread_takes_is_done_by_the_caller(monkeypatch):
    """As at the end of the interpreter, when executors take nothing any more."""

    class Closed:
        def submit(self, *_):
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(workers, "_pool", lambda threads: Closed())
    done = []
    workers.spread(lambda start, stop: done.extend(range(start, stop)), units=7, threads=3)
    assert sorted(done) == list(range(7))
