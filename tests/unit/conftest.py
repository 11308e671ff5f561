"""Fixtures of the tests of kernels."""

from __future__ import annotations

import pytest

from tests.unit.kernel_layer import TOKEN_AXES, Layer


@pytest.fixture(params=TOKEN_AXES, ids=["BSHD", "BHSD"])
def token_axis(request: pytest.FixtureRequest) -> int:
    axis: int = request.param
    return axis


@pytest.fixture
def layer(token_axis: int) -> Layer:
    return Layer(width=4, token_axis=token_axis)
