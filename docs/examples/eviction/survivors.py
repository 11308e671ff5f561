"""A picture of which positions are left at the end, in each layer of each cache."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed

import matplotlib.pyplot as plt
import numpy as np
from contest import Results
from numpy.typing import NDArray

BINS = 250


def draw_survivors(results: Results, path: Path) -> None:
    """One panel per cache that forgets: layers downwards, positions to the right."""
    forgetting = results.contestants[1:]
    figure, panels = plt.subplots(
        len(forgetting), 1, figsize=(7, 1.2 * len(forgetting)), sharex=True, layout="constrained"
    )
    for panel, contestant in zip(panels, forgetting, strict=True):
        image = panel.imshow(
            share_left(contestant.survivors(), results.tokens),
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0,
            vmax=1,
            extent=(0, results.tokens, contestant.cache.layers, 0),
        )
        panel.set_title(contestant.name, fontsize=9, loc="left")
        panel.set_ylabel("layer", fontsize=8)
        panel.tick_params(labelsize=8)
    panels[-1].set_xlabel("position", fontsize=8)
    bar = figure.colorbar(image, ax=panels, shrink=0.4)
    bar.set_label("share of the positions that is resident", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.savefig(path, dpi=160)
    plt.close(figure)


def share_left(survivors: list[list[int]], tokens: int) -> NDArray[np.float64]:
    """For each layer and stretch of positions, how many of a hundred are left, as a fraction."""
    edges = np.linspace(0, tokens, min(BINS, tokens) + 1)
    left = [np.histogram(positions, edges)[0] for positions in survivors]
    return np.array(left) / np.maximum(np.histogram(np.arange(tokens), edges)[0], 1)
