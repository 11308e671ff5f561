"""Rings that the oracle is tested on: right ones in every style, and ones with planted mistakes."""

from tests.conformance.rings.wrong_models import ModelForgetsTruncate
from tests.conformance.rings.wrong_operators import OperatorSeesDroppedRows
from tests.conformance.rings.wrong_pages import BlockFreedTooEarly
from tests.conformance.rings.wrong_windows import EarlyQueriesRobbed

__all__ = ["SHOWCASE"]

# One mistake of each kind of observation, whose reports stand in docs/conformance.md.
SHOWCASE = {
    "rows": EarlyQueriesRobbed,
    "slots": BlockFreedTooEarly,
    "outputs": OperatorSeesDroppedRows,
    "logits": ModelForgetsTruncate,
}
