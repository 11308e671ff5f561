"""`make soak` in a few seconds."""

from __future__ import annotations

import os

import pytest

from tests.pool.soak import MIB, Soak


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_threads_that_need_ten_times_the_budget_stay_within_it_and_read_what_they_wrote(
    layout, tmp_path
):
    # Without compiled kernels rows take their time.
    rows, restores = (100, 0) if "NUMBA_DISABLE_JIT" in os.environ else (10_000, 1)
    soak = Soak(
        budget_bytes=192 * MIB,
        sequences=60,
        threads=6,
        seconds=4,
        layout=layout,
        layers=2,
        least_rows=rows,
        least_restores=restores,
    )
    pool = soak.run(str(tmp_path), show=False)
    report = soak.report(pool)
    assert pool.stats.high_water_bytes <= 192 * MIB, report
    assert soak.grown <= 1.1 * 192 * MIB, report
    assert soak.rows_read > rows, report
    assert pool.stats.restores >= restores, report
    assert pool.stats.spills > 0, report
    pool.close()
    assert os.listdir(tmp_path) == []
