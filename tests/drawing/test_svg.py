"""Pictures as SVG: they show what the contract says, are well-formed and fit a phone."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from kvring.config import Circular
from kvring.drawing import moments, ring_svg, slot_time_map_svg
from kvring.errors import ConfigError
from tests.support import WORKED_EXAMPLE, filled_reference

SVG = "{http://www.w3.org/2000/svg}"
STEPS = [9, 1, 1, 3, "truncate:12", "truncate:5", 5]
MODES = [
    WORKED_EXAMPLE,
    Circular(1),
    "circular(16, sink_tokens=4)",
    "append(12)",
    "append(capacity=8, eviction=lru, sink_tokens=1)",
    "replace(8)",
]


def numbers(picture, class_):
    """Positions drawn on cells of a kind, in the order of slots."""
    texts = ElementTree.fromstring(picture).iter(f"{SVG}text")
    return [int(text.text) for text in texts if text.get("class") == f"number {class_}"]


def shown_width(picture):
    return float(ElementTree.fromstring(picture).get("viewBox").split()[2])


def test_the_numbers_that_a_ring_shows_as_visible_are_those_of_the_reference():
    picture, reference = ring_svg(WORKED_EXAMPLE, [12]), filled_reference(WORKED_EXAMPLE, 12)
    visible = reference.read(0).positions
    assert sorted(numbers(picture, "on")) == visible == [0, 8, 9, 10, 11]
    assert sorted(numbers(picture, "on-kept")) == [6, 7]
    assert sorted([*visible, 6, 7]) == reference.positions(0)
    assert "12 goes to slot 6" in picture


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_map_shows_every_row_once_in_each_line(mode):
    picture = slot_time_map_svg(mode, STEPS)
    shown = moments(mode, STEPS)[1:]
    on = [p for m in shown for p in m.slots if p in m.visible]
    kept = [p for m in shown for p in m.slots if p >= 0 and p not in m.visible]
    assert numbers(picture, "on") == on
    assert numbers(picture, "on-kept") == kept
    new = re.findall('<rect [^>]*class="new"', picture)
    assert len(new) - 1 == sum(len(moment.written) for moment in shown)  # one is in the legend


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("steps", [[], [1], STEPS])
def test_every_mode_can_be_drawn_at_the_width_of_a_phone(mode, steps):
    assert shown_width(ring_svg(mode, steps)) == 360
    if steps and "16" not in str(mode) and "12" not in str(mode):
        assert shown_width(slot_time_map_svg(mode, steps)) <= 360


def test_a_map_of_many_slots_is_as_wide_as_its_letters_need():
    assert 360 < shown_width(slot_time_map_svg("circular(40)", [1] * 50)) < 1280


def test_letters_are_never_smaller_than_twelve_units():
    for picture in (ring_svg(MODES[0], [12]), slot_time_map_svg(MODES[0], STEPS)):
        letters = re.findall(r"font(?:-size)?:(\d+)px", picture)
        assert letters
        assert min(map(int, letters)) >= 12


def test_colours_follow_the_reader_unless_a_theme_is_named():
    follows, light, dark = (ring_svg(MODES[0], theme=t) for t in ("auto", "light", "dark"))
    assert "prefers-color-scheme:dark" in follows
    assert "prefers-color-scheme" not in light + dark
    assert light != dark
    # Several in one page must not change each other.
    for picture, theme in ((follows, "auto"), (light, "light"), (dark, "dark")):
        sheet = re.search("<style>(.*)</style>", picture, re.DOTALL).group(1)
        rules = sheet.replace("@media (prefers-color-scheme:dark){", "").strip().splitlines()
        assert all(rule.startswith(f".kvring-{theme}") for rule in rules)


def test_a_picture_tells_those_who_cannot_see_it_what_it_is():
    picture = ring_svg(WORKED_EXAMPLE, [12], title="Seven <slots>")
    assert ElementTree.fromstring(picture).find(f"{SVG}title").text == "Seven <slots>"
    assert "Circular(window=4" in ring_svg(WORKED_EXAMPLE)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: ring_svg("circular(25)"), "expected at most 24 slots to draw, got 25"),
        (lambda: ring_svg("append(65)"), "expected at most 64 slots to draw, got 65"),
        (lambda: slot_time_map_svg("append(65)", [1]), "in at most 64 slots"),
        (lambda: slot_time_map_svg("append(8)", []), "expected 1 .. 200 steps"),
        (lambda: ring_svg("append(8)", theme="drak"), "did you mean 'dark'"),
        (lambda: ring_svg(8), "expected Append, Circular, Replace or a text, got 8"),
    ],
)
def test_what_cannot_be_drawn_says_why(draw, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        draw()


def test_drawing_loads_neither_numba_nor_the_cache():
    code = (
        "import sys; from kvring.drawing import moments, ring_svg, slot_time_map_svg;"
        "ring_svg('append(8, eviction=lru)', [9]); slot_time_map_svg('circular(4)', [9]);"
        "assert callable(moments) and moments.__name__ == 'moments';"
        "assert not {'numba', 'kvring.cache', 'kvring._jit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
