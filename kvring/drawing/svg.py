"""SVG as text: elements, one style sheet for light and dark, a legend."""

from __future__ import annotations

from html import escape
from typing import Literal

from ..errors import ConfigError
from ..text import near
from .history import Moment

__all__ = [
    "WIDTH",
    "Theme",
    "document",
    "element",
    "kind_of",
    "legend",
    "letters_on",
    "ranges",
    "said",
    "text",
]

Theme = Literal["auto", "light", "dark"]

# A phone's page is about this wide: one unit is one pixel there, and letters keep their size.
WIDTH = 360

LETTER = 7.0  # of the small text, on the safe side

_COLOURS = {
    "light": {
        "ink": "#1f2328",
        "faint": "#59636e",
        "line": "#818b98",
        "seen": "#0969da",
        "sink": "#7d3fbf",
        "kept": "#c8e1ff",
        "kept-ink": "#0a3069",
        "on": "#ffffff",
        "new": "#bc4c00",
        "refused": "#c11c28",
    },
    "dark": {
        "ink": "#f0f6fc",
        "faint": "#a4adb8",
        "line": "#6e7781",
        "seen": "#2c74e0",
        "sink": "#9160dd",
        "kept": "#1b2f4b",
        "kept-ink": "#b6d3fb",
        "on": "#ffffff",
        "new": "#f0883e",
        "refused": "#ff8a80",
    },
}

_RULES = """\
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}
.faint{fill:var(--faint)}
.number{font-size:14px;font-variant-numeric:tabular-nums}
.small{font-variant-numeric:tabular-nums}
.strong{font-weight:600}
.cell{stroke:var(--line);stroke-width:1;fill:none}
.cell.seen{fill:var(--seen)}
.cell.sink{fill:var(--sink)}
.cell.kept{fill:var(--kept)}
.cell.empty{stroke-dasharray:3 3}
.on{fill:var(--on);font-weight:600}
.on-kept{fill:var(--kept-ink)}
.new{fill:none;stroke:var(--new);stroke-width:3}
.mark{fill:var(--new)}
.refused{fill:var(--refused)}
"""


def element(name: str, content: str = "", **attributes: str | float) -> str:
    """One element; ``class_`` is class, and numbers have no more than two digits behind the point.

    Examples
    --------
    >>> element("rect", x=1.0, width=2.345, class_="cell")
    '<rect x="1" width="2.35" class="cell"/>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{told}>{content}</{name}>" if content else f"<{name}{told}/>"


def text(words: object, x: float, y: float, class_: str = "", anchor: str = "") -> str:
    """Words at a place; `anchor` is "middle" or "end" where they do not begin there."""
    return element("text", escape(str(words)), x=x, y=y, class_=class_, text_anchor=anchor)


def document(body: list[str], *, width: float, height: float, title: str, theme: Theme) -> str:
    """The whole file, with its style sheet and with `title` for those who do not see it."""
    if theme not in ("auto", *_COLOURS):
        raise ConfigError(f"theme: got {theme!r}{near(str(theme), ('auto', *_COLOURS))}")
    scope = f".kvring-{theme}"
    rules = "".join(f"{scope} {line}\n" for line in _RULES.splitlines())
    colours = f"{scope}{{{_variables('light' if theme == 'auto' else theme)}}}\n"
    if theme == "auto":
        dark = f"{scope}{{{_variables('dark')}}}"
        colours += f"@media (prefers-color-scheme:dark){{{dark}}}\n"
    wide, high = _short(width), _short(height)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kvring-{theme}" role="img"'
        f' viewBox="0 0 {wide} {high}" width="{wide}" style="max-width:100%;height:auto">'
    )
    lines = [
        opening,
        f"<title>{escape(title)}</title>",
        f"<style>\n{colours}{rules}</style>",
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def kind_of(moment: Moment, slot: int, visible: tuple[int, ...]) -> str:
    """What a slot holds: "seen", "sink", "kept" or "empty"."""
    position = moment.slots[slot]
    if position < 0:
        return "empty"
    if position not in visible:
        return "kept"
    return "sink" if position < moment.sink_tokens else "seen"


def letters_on(kind: str) -> str:
    """The class of a number on such a slot."""
    return {"kept": "on-kept", "empty": "faint"}.get(kind, "on")


def legend(
    kinds: set[str], x: float, y: float, width: float, seen: str = "visible"
) -> tuple[list[str], float]:
    """What the colours mean, and where the next thing below may begin."""
    meanings = {
        "seen": seen,
        "sink": "visible sink",
        "kept": "resident, not visible",
        "empty": "empty",
        "new": "written just now",
        "head": "head: the oldest row",
    }
    drawn, at, line = [], x, y
    for kind in (kind for kind in meanings if kind in kinds):
        needs = 22 + LETTER * len(meanings[kind])
        if at > x and at + needs > x + width:
            at, line = x, line + 22
        box = "new" if kind == "new" else f"cell {kind}"
        if kind == "head":
            drawn.append(element("path", d=f"M{at:g},{line}l14,6.5l-14,6.5z", class_="mark"))
        else:
            drawn.append(element("rect", x=at + 1, y=line, width=13, height=13, rx=2, class_=box))
        drawn.append(text(meanings[kind], at + 20, line + 11, "faint"))
        at += needs + 8
    return drawn, line + 24


def ranges(numbers: tuple[int, ...]) -> str:
    """Numbers in ascending order, neighbours as stretches.

    Examples
    --------
    >>> ranges((0, 3, 4, 5, 9)), ranges((1, 2))
    ('0, 3-5, 9', '1, 2')
    """
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and stretches[-1][-1] + 1 == number:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    short = [
        f"{one[0]}-{one[-1]}" if len(one) > 2 else ", ".join(map(str, one)) for one in stretches
    ]
    return ", ".join(short)


def said(moment: Moment) -> str:
    """What a step has done besides filling slots, in few words."""
    if moment.refusal:
        return "refused"
    told = [
        f"{word} {ranges(positions)}"
        for word, positions in (("evicted", moment.evicted), ("dropped", moment.dropped))
        if positions
    ]
    return "; ".join(told)


def _variables(theme: str) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in _COLOURS[theme].items())


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
