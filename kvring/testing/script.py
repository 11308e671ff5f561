"""A trace as a Python script that needs the backend and NumPy, nothing else.

While a history is replayed for a report, every call that the trial makes is written down as a line
of Python. `PRELUDES` holds what such lines need: how the rows of a token are made, and how to
print what came back.
"""

from __future__ import annotations

from collections.abc import Iterable

from .kinds.outputs import looks_for
from .names import Token, token_id
from .setup import Setup
from .steps import Update

__all__ = ["PRELUDES", "arguments_code", "program_snippet", "python_snippet"]

_ROWS = '''
K, V = 1, 2


def rows(kind, layer, *batch_rows, zero=False, width=setup.head_dim):
    """K or V of tokens; every element says whose row it is. Token 1003: the 3rd, batch row 1."""
    made = [
        [
            [
                (
                    [t % 1000 // 64, t % 1000 // 8 % 8, t % 8, head, t // 1000, layer, kind, 0]
                    * width
                )[:width]
                for head in range(setup.kv_heads)
            ]
            for t in tokens
        ]
        for tokens in batch_rows
    ]
    shape = (len(batch_rows), -1, setup.kv_heads, width)
    array = np.array(made, setup.dtype).reshape(shape) * (not zero)
    return array if setup.layout == "BSHD" else np.ascontiguousarray(array.swapaxes(1, 2))


def show(seen):
    """Print, for each batch row and query, the tokens whose values it may attend to."""
    for b, values in enumerate(seen.values):
        values = np.asarray(values) if setup.layout == "BSHD" else np.swapaxes(values, 0, 1)
        mask = seen.mask if seen.mask is None or np.ndim(seen.mask) < 3 else seen.mask[b]
        named = [int(r[0] * 64 + r[1] * 8 + r[2] + 1000 * r[4]) for r in values[:, 0].astype(float)]
        queries = np.ones((1, len(named)), bool) if mask is None else mask
        print(f"batch row {b}:", [[t for t, may in zip(named, q) if may] for q in queries])
'''

_SLOTS = '''
def show(seen):
    """Print where the new tokens went, and which slots each query reads."""
    print("written:", seen.written, "visible:", seen.visible)
'''

_OUTPUTS = '''
def lanes(layer, *batch_rows, looks_for=0, zero=False):
    """Queries, K and V: token t is lane t; a query of zeros gets the mean of the visible values."""
    shape = (len(batch_rows), len(batch_rows[0]), setup.kv_heads)
    queries, keys = np.zeros((*shape, setup.head_dim)), np.zeros((*shape, setup.head_dim))
    values = np.zeros((*shape, setup.value_dim))
    values[..., 0] = 1
    queries[..., looks_for] = 8 * np.sqrt(setup.head_dim) if looks_for else 0
    last = min(setup.head_dim, setup.value_dim) - 1
    for b, tokens in enumerate(batch_rows):
        for place, token in enumerate(tokens):
            lane = last - (token % 1000 - 448) if zero else token % 1000
            for head in range(setup.kv_heads):
                values[b, place, head, lane] = 1 + head + 4 * (token // 1000) + 12 * layer
                keys[b, place, head, lane] = not zero
    arrays = [queries, keys, values]
    if setup.layout == "BHSD":
        arrays = [array.swapaxes(1, 2) for array in arrays]
    return [np.ascontiguousarray(array).astype(setup.dtype) for array in arrays]


def show(seen):
    """Print, for each batch row and query, the lanes of head 0 that are not zero."""
    for b, outputs in enumerate(np.asarray(seen.outputs, float)):
        for q, lane in enumerate(outputs[:, 0]):
            print(f"batch row {b}, query {q}:", {n: round(x, 3) for n, x in enumerate(lane) if x})
'''

_LOGITS = '''
def show(seen):
    """Print the most likely word after each token."""
    print("most likely:", np.argmax(seen.logits, axis=-1).tolist())
'''

PRELUDES = {"rows": _ROWS, "slots": _SLOTS, "outputs": _OUTPUTS, "logits": _LOGITS}


def python_snippet(make: list[str], setup: Setup, observes: str, lines: Iterable[str]) -> str:
    """The whole script; `make` are the lines that import the factory under that name."""
    namespace = repr(setup.plain()).replace("namespace(", "SimpleNamespace(")
    for entry in ("layers", "strategies"):
        namespace = namespace.replace(f", {entry}=", f",\n    {entry}=")
    for before in ("[", "), "):
        namespace = namespace.replace(
            f"{before}SimpleNamespace(", f"{before.rstrip()}\n        SimpleNamespace("
        )
    lines = list(lines)
    start = ["from contextlib import suppress"] if any("suppress" in x for x in lines) else []
    start += [
        "from types import SimpleNamespace",
        "",
        "import numpy as np",
        "",
        *make,
        "",
        f"setup = {namespace}",
    ]
    return "\n".join([*start, PRELUDES[observes], "", "backend = make(setup)", *lines]) + "\n"


def program_snippet(command: list[str], requests: Iterable[str]) -> str:
    """The same for a program: its command, and the lines that it is sent."""
    lines = "".join(f"    {request!r},\n" for request in requests)
    return (
        "import subprocess\n\n"
        f"requests = [\n{lines}]\n"
        f"program = subprocess.Popen({command!r}, stdin=-1, stdout=-1, text=True)\n"
        "for request in requests:\n"
        "    print(request, file=program.stdin, flush=True)\n"
        '    print(request, "->", program.stdout.readline(), end="")\n'
    )


def arguments_code(
    observes: str, setup: Setup, layer: int, tokens: list[list[Token]], step: Update
) -> str:
    """The arguments of an update, as Python."""
    ids = ", ".join(str([token_id(token) for token in row]) for row in tokens)
    zero = ", zero=True" if step.zero_keys else ""
    if observes == "rows":
        wide = "" if setup.value_dim == setup.head_dim else ", width=setup.value_dim"
        keys, values = f"rows(K, {layer}, {ids}{zero})", f"rows(V, {layer}, {ids}{wide})"
        return f"{layer}, " + ", ".join(_spoiled(step.spoiled, keys, values, setup.layout))
    if observes == "slots":
        return f"{layer}, {list(step.token_counts or (step.tokens,) * len(tokens))}"
    if observes == "outputs":
        lane = looks_for(tokens)
        looking = f", looks_for={lane}" if lane else ""
        return f"{layer}, *lanes({layer}, {ids}{looking}{zero})"
    return f"np.array([{ids}])"


def _spoiled(what: str, keys: str, values: str, layout: str) -> tuple[str, str]:
    """The same as `names.spoiled`, as Python."""
    tokens, kv_heads = (1, 2) if layout == "BSHD" else (2, 1)
    if what == "V shorter than K":
        return keys, f"np.delete({values}, -1, {tokens})"
    if what == "K shorter than V":
        return f"np.delete({keys}, -1, {tokens})", values
    if not what:
        return keys, values
    axis = kv_heads if what == "a head too many" else 0
    return f"np.insert({keys}, 0, 0, {axis})", f"np.insert({values}, 0, 0, {axis})"
