"""Mistakes that show late or seldom, and right rings of unusual manners."""

from dataclasses import replace

import numpy as np

from kvring.testing import BackendBrokeError, Rows
from kvring.testing.search import search
from tests.conformance.rings.row_lists import RowLists
from tests.conformance.rings.slot_order import SlotRing
from tests.conformance.small import SUPPORTS, Everything


class ResetForgetsLayer1(SlotRing):
    """Once it has wrapped, a reset leaves one row of layer 1 behind."""

    def reset(self):
        super().reset()
        for layer in self.layers[1:]:
            if layer.window and layer.keys[0, -1].any():
                layer.positions[-1] = 0


class KeepsCallersArrays(RowLists):
    """Writes into V of the update before."""

    kept = None

    def update(self, layer, keys, values, token_counts=None, padding="right"):
        if self.kept is not None:
            self.kept[...] = 0
        seen = super().update(layer, keys, values, token_counts, padding)
        self.kept = values
        return seen


class LeftPaddingEvicts(RowLists):
    """Padding on the left drives out a row that no later update sees, but a read would."""

    def update_row(self, sequence, keys, values, real):
        shown = super().update_row(sequence, keys, values, real)
        if sequence.window and len(real) and real.start > 0:
            first = sequence.seq_len - sequence.keeps + 1
            sequence.rows = [
                row for row in sequence.rows if row[0] < sequence.sink_tokens or row[0] >= first
            ]
        return shown


class Foreign:
    """An array of another library: it can be converted, and nothing else."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype)


class ShowsForeignArrays(SlotRing):
    """Right, and shows no NumPy arrays."""

    def update(self, *arguments):
        return self.foreign(super().update(*arguments))

    def read(self, layer):
        return self.foreign(super().read(layer))

    def foreign(self, seen):
        return Rows(*(Foreign(a) for a in (seen.keys, seen.values, seen.mask, seen.positions)))


class OneTokenAtATime(RowLists):
    """Right, and takes no chunks, in a cache that is added either."""

    supports = replace(RowLists.supports, most_chunk=1, ragged=())

    def update(self, layer, keys, values):
        if self.checked(keys).shape[1] > 1:
            raise NotImplementedError("one token at a time")
        return super().update(layer, keys, values)


class DiesOfTheFourthToken(Everything):
    """As a program that is killed."""

    supports = {**SUPPORTS, "special_values": False}

    def update(self, layer, keys, values):
        seen = super().update(layer, keys, values)
        if self.seq_len(layer) > 3:
            raise BackendBrokeError("died", "for the test")
        return seen


def test_a_row_that_a_reset_leaves_in_one_layer_is_found():
    divergence = search(ResetForgetsLayer1, max_examples=1000).divergence
    assert divergence.finding.layer == 1
    assert "reset" in divergence.relations


def test_a_row_that_only_a_read_would_see_is_missed():
    supports = replace(RowLists.supports, modes=("circular",), most_layers=1)
    divergence = search(LeftPaddingEvicts, supports=supports, max_examples=1000).divergence
    assert divergence.finding.invariant == "missing"
    assert len(divergence.trace.steps) <= 4


def test_writing_into_what_an_earlier_update_was_given_is_found():
    divergence = search(KeepsCallersArrays, max_examples=100).divergence
    assert divergence.finding.invariant == "inputs"
    assert len(divergence.trace.steps) <= 2


def test_arrays_of_other_libraries_are_converted():
    divergence = search(ShowsForeignArrays, max_examples=40).divergence
    assert divergence is None, str(divergence)


def test_a_cache_that_is_added_is_filled_as_the_declaration_says():
    divergence = search(OneTokenAtATime, max_examples=150).divergence
    assert divergence is None, str(divergence)


def test_what_a_backend_dies_of_is_made_short():
    divergence = search(DiesOfTheFourthToken, max_examples=40).divergence
    assert divergence.finding.invariant == "died"
    assert len(divergence.trace.steps) <= 2
