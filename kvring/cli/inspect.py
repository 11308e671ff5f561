"""``kvring inspect``: what a saved cache holds, without loading it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SnapshotError
from ..text import counted, human_bytes, printable
from .terminal import paint, progress, table

if TYPE_CHECKING:
    from ..snapshot.peeking import Peek
    from .parser import Parser

__all__ = ["fill"]

EPILOG = """\
examples:
  kvring inspect session.kv
  kvring inspect session.kv --verify
  kvring inspect session.kv --json | jq .layers[0].positions

Only the header and positions are read, and their checksums compared; with --verify all of them.

exit codes: 0 as it should be, 2 no saved cache, damaged or not readable"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.description = "Say what a file holds that KVCache.save wrote: axes, modes, positions."
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--verify", action="store_true", help="read all rows, compare checksums")
    parser.add_argument("--json", action="store_true", help="the same as data, on stdout")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Read, perhaps verify, and tell."""
    from ..snapshot.peeking import Peek

    try:
        found = Peek(options.file)
        if options.verify:
            with progress(len(found.entries) - 1, "tensors") as show:
                found.verify(show)
        data = contents(found)
    except SnapshotError as error:
        raise SnapshotError(f"{options.file}: {printable(str(error), keeps_lines=False)}") from None
    data["verified"] = options.verify
    if options.json:
        print(json.dumps(data))
    else:
        _show(data)
    return 0


def contents(found: Peek) -> dict[str, Any]:
    """All that is told, as plain data."""
    config, batch = found.config, found.config["batch"]
    seq_lens, lengths = found.numbers("seq_lens"), found.numbers("lengths")
    layers = []
    for number, of_layer in enumerate(config["layers"]):
        rows = lengths[number * batch : (number + 1) * batch]
        layers.append(
            of_layer
            | {
                "seq_lens": seq_lens[number * batch : (number + 1) * batch],
                "lengths": rows,
                "positions": _split(found.numbers(f"layer.{number}.positions"), rows),
                "pinned": found.numbers(f"layer.{number}.pins"),
            }
        )
    return {
        "file": str(found.path),
        "nbytes": found.nbytes,
        "format": int(found.metadata["version"]),
        "written_by": found.metadata.get("written_by"),
        **{name: config[name] for name in ("batch", "dtype", "layout")},
        "layers": layers,
    }


def _split(flat: list[int], rows: list[int]) -> list[list[int]]:
    """Positions of each batch row, oldest first."""
    found, start = [], 0
    for count in rows:
        found.append(sorted(flat[start : start + count]))
        start += count
    return found


def _show(data: dict[str, Any]) -> None:
    layers = data["layers"]
    state = "all checksums are right" if data["verified"] else "header and positions are right"
    print(paint(data["file"], "bold"))
    writer = printable(data["written_by"] or "an unknown program", keeps_lines=False)
    print(f"{human_bytes(data['nbytes'])}, written by {writer}; {state}")
    axes = {f"{of['kv_heads']} x {of['head_dim']}" for of in layers}
    print(
        f"{counted(len(layers), 'layer')}, {counted(data['batch'], 'batch row')},"
        f" kv_heads x head_dim {', '.join(sorted(axes))}, {data['dtype']}, {data['layout']}\n"
    )
    head = ("layers", "batch", "~mode", ">seq_len", ">rows", "~positions")
    table(head, [line for group in _groups(layers) for line in _lines(group)])


def _groups(layers: list[dict[str, Any]]) -> list[tuple[int, int, dict[str, Any]]]:
    """Neighbours that hold the same: first and last layer, and what they hold."""
    groups: list[tuple[int, int, dict[str, Any]]] = []
    for number, layer in enumerate(layers):
        if groups and groups[-1][2] == layer:
            groups[-1] = (groups[-1][0], number, layer)
        else:
            groups.append((number, number, layer))
    return groups


def _lines(group: tuple[int, int, dict[str, Any]]) -> list[tuple[str, ...]]:
    """One line of the table, or one for each batch row where they differ."""
    from ..drawing.svg import ranges

    first, last, layer = group
    named = str(first) if first == last else f"{first}-{last}"
    rows = list(zip(layer["seq_lens"], layer["lengths"], layer["positions"], strict=True))
    alike = all(row == rows[0] for row in rows)
    pinned = f"; pinned {ranges(tuple(layer['pinned']))}" if layer["pinned"] else ""
    lines: list[tuple[str, ...]] = []
    for number, (seq_len, length, positions) in enumerate(rows[:1] if alike else rows):
        batch = str(number) if not alike else f"0-{len(rows) - 1}" if len(rows) > 1 else "0"
        mode = _mode(layer) if number == 0 else ""
        held = (ranges(tuple(positions)) or "none") + pinned
        lines.append((named, batch, mode, str(seq_len), str(length), held))
    return lines


def _mode(layer: dict[str, Any]) -> str:
    """The mode as one would write it, without what is as usual."""
    told = []
    for name in ("capacity", "window", "sink_tokens", "rollback_tokens", "eviction"):
        value = layer.get(name)
        if isinstance(value, dict):
            value = value.get("class") or value.get("policy")
        if value:
            told.append(f"{name}={printable(str(value), keeps_lines=False)}")
    return f"{layer['mode']}({', '.join(told)})"
