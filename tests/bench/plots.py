"""Pictures of what was measured, as small SVG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvring.bench.rivals import ATTENTION, CACHES, OURS

Record = dict[str, Any]
SIZE = (6.4, 3.4)
# Four panels that are little wider than one: a page makes wide pictures small, letters with them.
PANELS = (7.2, 5.6)
# One color for one contestant, whoever else is there.
COLORS = {name: f"C{n % 10}" for known in (CACHES, ATTENTION) for n, name in enumerate(known)}
BESIDE = {"fontsize": 7, "loc": "center left", "bbox_to_anchor": (1, 0.5)}


def _axes(rows: int = 1, columns: int = 1, *, size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kvring", "font.size": 9})
    return pyplot.subplots(rows, columns, figsize=size, squeeze=False)


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _points(
    records: list[Record], operation: str, family: str
) -> dict[str, list[tuple[int, float]]]:
    points: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        if (record["operation"], record["family"]) == (operation, family) and record["value"]:
            count = int("".join(c for c in record["column"].split()[0] if c.isdigit()))
            points.setdefault(record["rival"], []).append((count, record["value"]))
    return points


def _line(axis: Any, name: str, x: Any, y: Any) -> None:
    ours = name == OURS
    style = "--" if name in ("plain read", "bare slices") else "-"
    axis.plot(
        x,
        y,
        style,
        marker="o",
        ms=3,
        lw=2.4 if ours else 1.1,
        label=name,
        zorder=3 if ours else 2,
        color="black" if ours else COLORS.get(name),
    )


def update(records: list[Record], path: Path) -> None:
    """One token, by rows resident: flat where only new rows are written."""
    figure, ((axis,),) = _axes()
    for name, points in _points(records, "update", "append, 8 x 128, float32").items():
        _line(axis, name, *zip(*[(n, seconds * 1e6) for n, seconds in points], strict=True))
    axis.set(xscale="log", yscale="log", xlabel="tokens resident", ylabel="us per token and layer")
    axis.set_title("update of one token, append, 8 x 128, float32")
    axis.legend(**BESIDE)
    _save(figure, path)


def attention(records: list[Record], path: Path) -> None:
    """Bytes of K and V per second of attention, by rows."""
    figure, panels = _axes(2, 2, size=PANELS)
    *axes, beside = panels.flat
    for axis, (dtype, nbytes) in zip(
        axes, (("float32", 4), ("float16", 2), ("bfloat16", 2)), strict=True
    ):
        family = f"8 x 128, 32 query heads, {dtype}, one thread"
        for name, points in _points(records, "attention", family).items():
            rates = [(n, n * 8 * 128 * 2 * nbytes / seconds / 1e9) for n, seconds in points]
            _line(axis, name, *zip(*rates, strict=True))
        axis.set(xscale="log", xlabel="rows", ylabel="GB/s of K and V", title=dtype, ylim=(0, None))
    handles, names = axes[0].get_legend_handles_labels()
    beside.axis("off")
    beside.legend(handles, names, fontsize=9, loc="center")
    figure.suptitle(
        "attention of one token: how fast K and V are read\n"
        "8 x 128, 32 query heads, one thread; higher is better",
        fontsize=10,
    )
    _save(figure, path)


def generation(found: dict[str, Any] | None, path: Path) -> None:
    """Tokens a second of the real model, by context."""
    if found is None:
        return
    figure, ((axis,),) = _axes()
    contexts = list(found["contexts"])
    names = list(found["contexts"][contexts[0]])
    for number, name in enumerate(names):
        heights = [found["contexts"][context][name]["tokens_per_second"] for context in contexts]
        places = [x + (number - len(names) / 2) * 0.13 for x in range(len(contexts))]
        axis.bar(places, heights, width=0.12, label=name)
    axis.set_xticks(range(len(contexts)), [f"{int(context):,}" for context in contexts])
    axis.set(xlabel="tokens of context", ylabel="tokens/s", title="SmolLM2-135M, whole generation")
    axis.legend(**BESIDE)
    _save(figure, path)
