"""What the demo says besides its results: how far a long job is, and errors in plain words."""

import sys
from typing import Any

from tqdm import tqdm


class DemoError(Exception):
    """Something the user can put right; shown as one line, without a traceback."""


def progress_bar(job: str, total: int, unit: str) -> Any:
    """Return a bar on stderr, to be used in a `with` block and told of each unit done.

    On a terminal it is drawn in place and erased at the end; in a log it is written anew every few
    seconds, so that nobody has to wonder whether the program hangs.

    Parameters
    ----------
    job : str
        What is going on, such as ``"prefill"``.
    total : int
        How many units the job has.
    unit : str
        What is counted, such as ``"tokens"``.
    """
    seconds_between_lines = 0.1 if sys.stderr.isatty() else 2.0
    return tqdm(
        desc=job, total=total, unit=f" {unit}", leave=False, mininterval=seconds_between_lines
    )
