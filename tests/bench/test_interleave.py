"""The runner: turns, order, rounds, and ratios within a round."""

import gc

import pytest

from kvring.bench import Contestant, Result, measure


def test_contestants_take_turns_and_every_second_round_goes_backwards():
    order = []
    group = {name: Contestant(lambda name=name: order.append(name)) for name in "ABC"}
    measure(group, rounds=4, warm_up=0)
    assert "".join(order) in ("ABCCBAABCCBA", "CBAABCCBAABC")


def test_preparation_comes_before_each_round_and_warm_up_rounds_do_not_count():
    order = []
    contestant = Contestant(lambda: order.append("run"), lambda: order.append("prepare"), steps=2)
    result = measure({"only": contestant}, rounds=3, warm_up=1)
    assert order == ["prepare", "run", "run"] * 4
    assert len(result.seconds["only"]) == 3


def test_a_ratio_is_the_median_within_rounds_not_of_medians():
    # The machine is slow in different rounds for the medians, but never within one.
    result = Result({"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 200.0]})
    assert result.ratio("b", to="a") == 2
    assert result.typical("a") == 10


def test_no_round_begins_after_the_time_but_for_the_least():
    result = measure({"a": Contestant(lambda: None)}, rounds=1000, within=0.0, least=4)
    assert len(result.seconds["a"]) == 4


def test_garbage_collection_is_off_meanwhile_and_on_again_after_an_error():
    def fails():
        assert not gc.isenabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure({"a": Contestant(fails)}, rounds=1)
    assert gc.isenabled()
    gc.disable()
    try:
        measure({"a": Contestant(lambda: None)}, rounds=1)
        assert not gc.isenabled()
    finally:
        gc.enable()
