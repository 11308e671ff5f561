"""`make soak` in a few seconds."""

from __future__ import annotations

import os

import pytest

from tests.pool.soak import MIB, Soak


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_threads_that_need_ten_times_the_budget_stay_within_it_and_read_what_they_wrote(
    layout, tmp_path
):
    soak = Soak(budget_bytes=192 * MIB, sequences=60, threads=6, seconds=4, layout=layout, layers=2)
    pool = soak.run(str(tmp_path), show=False)
    report = soak.report(pool)
    assert pool.stats.high_water_bytes <= 192 * MIB, report
    assert soak.grown <= 1.1 * 192 * MIB, report
    assert soak.rows_read > 10_000, report
    if "NUMBA_DISABLE_JIT" not in os.environ:  # without kernels nobody gets that far
        assert pool.stats.spills > 5, report
        assert pool.stats.restores > 0, report
    pool.close()
    assert os.listdir(tmp_path) == []
