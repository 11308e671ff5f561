"""Which pages rows commit: the arithmetic against a set of page numbers, and against the system."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kvring.pool.pages import Planes

SHAPES = st.tuples(
    st.integers(1, 5), st.integers(1, 40), st.integers(1, 3000), st.sampled_from([512, 4096])
)


def pages_of(planes: Planes, slots: int) -> set[int]:
    """Row by row, byte by byte, as the definition says."""
    pages = set()
    for plane in range(planes.planes):
        for slot in range(slots):
            start = (plane * planes.slots + slot) * planes.row_nbytes
            first, last = start, start + planes.row_nbytes - 1
            pages.update(range(first // planes.page_nbytes, last // planes.page_nbytes + 1))
    return pages


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_pages_are_those_of_the_rows_and_each_counts_once(shape, data):
    planes = Planes(*shape)
    slots = data.draw(st.integers(0, planes.slots))
    taken = pages_of(planes, slots)
    assert planes.page_count(slots) == len(taken)
    everything = pages_of(planes, planes.slots)
    free = {page for first, stop in planes.stretches_behind(slots) for page in range(first, stop)}
    assert free == everything - taken


@settings(max_examples=200, deadline=None)
@given(shape=SHAPES, data=st.data())
def test_slots_that_fit_in_the_same_pages_take_no_more(shape, data):
    planes = Planes(*shape)
    slots = data.draw(st.integers(0, planes.slots))
    fitting = planes.slots_within_pages_of(slots)
    assert slots <= fitting <= planes.slots
    assert planes.page_count(fitting) == planes.page_count(slots)
    if planes.planes == 1 and slots > 0 and fitting < planes.slots:
        assert planes.page_count(fitting + 1) > planes.page_count(slots)
