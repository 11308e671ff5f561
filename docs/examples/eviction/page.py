"""The page that the run writes: a table and a picture."""

from pathlib import Path

import numpy as np
from contest import Results
from contestants import Contestant

START, STOP = "<!-- perplexity: made by make eviction -->", "<!-- perplexity ends -->"


def write_page(results: Results, path: Path) -> str:
    """Write the part between the marks of `path` anew, or a page of that part; return the table."""
    lines = table(results)
    part = "\n".join([START, "", *text(results), "", *lines, "", PICTURE, "", STOP])
    page = path.read_text(encoding="utf-8") if path.exists() else f"{START}{STOP}\n"
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(STOP)
    path.write_text(before + part + after, encoding="utf-8")
    return "\n".join(lines)


PICTURE = "![Which positions are left at the end, by layer](eviction.png)"


def text(results: Results) -> list[str]:
    """What was done, in a few lines."""
    return [
        f"{results.model} reads the first {results.tokens:,} tokens of Python's own reference",
        f"(`pydoc_data.topics`), {results.chunk} at a time, with {results.resident} rows resident",
        "in each layer, except in the first line of the table. *After rows have to go* counts only",
        f"the tokens after the first {results.resident}. *Old rows* are resident ones",
        "that a window of that length would not hold, on average over the layers. Where rows are",
        "chosen, all that an update needs go before its first query, so the early queries of a",
        "chunk see a few rows fewer than a ring shows them.",
    ]


def table(results: Results) -> list[str]:
    """A line for each cache."""
    full = results.resident
    lines = [
        "| cache | perplexity | after rows have to go | against everything kept | old rows |",
        "|---|---:|---:|---:|---:|",
    ]
    best = results.contestants[0].perplexity(full)
    for one in results.contestants:
        late = one.perplexity(full)
        lines.append(
            f"| {one.name} | {one.perplexity():.2f} | {late:.2f} | {late / best - 1:+.1%} |"
            f" {old_rows(one, results):.0f} |"
        )
    return lines


def old_rows(contestant: Contestant, results: Results) -> float:
    """How many rows a window would have lost, on average over the layers."""
    first = results.tokens - 1 - results.resident
    return float(
        np.mean([sum(p < first for p in positions) for positions in contestant.survivors()])
    )
