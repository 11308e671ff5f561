"""kvring's own cache through its own suite: every mode, dtype width and layout, by two orders."""

from functools import partial

import pytest

from kvring.testing import Conformance
from kvring.testing.backends import kvring_cache
from kvring.testing.search import search
from tests.often import often

WIDTHS = ["int8", "float16", "bfloat16", "float8_e4m3fn", "float32", "float64"]


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("mode", ["append", "circular", "replace"])
def test_every_mode_dtype_and_layout_is_clean(mode, dtype, layout):
    if dtype.startswith(("bfloat", "float8")):
        pytest.importorskip("ml_dtypes")
    supports = {
        **kvring_cache.SUPPORTS,
        "modes": (mode,),
        "dtypes": (dtype,),
        "layouts": (layout,),
        "head_dims": (8, 16),
    }
    checked = partial(kvring_cache.temporal, check=True)
    outcome = search(checked, supports=supports, max_examples=often(14, at_least=8))
    assert outcome.divergence is None, str(outcome.divergence)
    assert outcome.compared


class TestTemporal(Conformance):
    """As a test suite would do it."""

    supports = kvring_cache.temporal.supports
    max_examples = often(60)

    def make(self, config):
        return kvring_cache.temporal(config, check=True)


class TestPhysical(Conformance):
    """Rows in slot order."""

    supports = kvring_cache.physical.supports
    max_examples = often(60)

    def make(self, config):
        return kvring_cache.physical(config, check=True)
