"""The manual's pictures are what the code draws, and what they show is what both sides say."""

import importlib.util
import re

import numpy as np
import pytest

from kvring import KVCache, KVRingError, Replace
from kvring.config import CacheConfig
from kvring.drawing import moments
from kvring.reference import ReferenceCache
from tests.docs.blocks import DOCS, pages

SPEC = importlib.util.spec_from_file_location("pictures", DOCS / "_manual" / "pictures.py")
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)

HISTORIES = pictures.RINGS | pictures.MAPS


def test_the_committed_pictures_are_those_that_the_code_draws():
    drawn = pictures.drawn()
    kept = {path.name: path.read_text() for path in pictures.FOLDER.glob("*.svg")}
    assert sorted(drawn) == sorted(kept)
    for name, svg in drawn.items():
        assert svg == kept[name], f"{name} has changed: make pictures"


def test_every_picture_is_on_a_page_and_says_in_words_what_it_shows():
    text = "".join(page.read_text() for page in pages())
    for name in HISTORIES:
        said = re.findall(rf"!\[([^\]]*)\]\((?:\.\./)?pictures/{re.escape(name)}\)", text)
        assert said, f"{name} is on no page"
        assert all(len(words) > 30 for words in said), f"{name}: say what it shows"


def carried_out(step, cache, replaces):
    """One step of a picture; what an update shows, else what a read does. Rows are positions."""
    if isinstance(step, int):
        first = 0 if replaces else cache.seq_len
        rows = np.arange(first, first + step)
        if isinstance(cache, ReferenceCache):
            return cache.update(0, rows.tolist())
        return cache.update(0, *[rows.reshape(1, step, 1, 1)] * 2)
    verb, _, numbers = step.partition(":")
    given = [int(number) for number in numbers.split(",") if number]
    arguments = {"truncate": given, "reset": [], "touch": [0, given]}[verb]
    getattr(cache, verb)(*arguments)
    return cache.read(0)


@pytest.mark.parametrize("name", HISTORIES)
def test_what_a_picture_shows_is_what_cache_and_reference_hold(name):
    mode, steps = HISTORIES[name]
    axes = {"layers": 1, "kv_heads": 1, "head_dim": 1, "strategy": mode}
    cache, reference = KVCache(**axes, dtype="int64"), ReferenceCache(CacheConfig.build(**axes))
    for step, moment in zip(steps, moments(mode, steps)[1:], strict=True):
        if moment.refusal:
            for one in (cache, reference):
                with pytest.raises(KVRingError):
                    carried_out(step, one, False)
            continue
        ours, theirs = (
            carried_out(step, one, isinstance(mode, Replace)) for one in (cache, reference)
        )
        cache.check()
        seen = list(moment.visible)
        assert ours.positions.tolist() == theirs.positions == seen
        assert ours.keys.ravel().tolist() == theirs.rows == seen
        slots = dict(zip(cache.slots(0).tolist(), cache.positions(0).tolist(), strict=True))
        assert slots == {slot: held for slot, held in enumerate(moment.slots) if held >= 0}
        assert reference.positions(0) == sorted(slots.values())
