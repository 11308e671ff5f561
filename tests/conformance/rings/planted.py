"""How a mistake is declared: what it breaks, how soon that shows, which bug it is."""

from dataclasses import dataclass

# The bugs that the obvious implementation has, and those that famous caches have had. Every one of
# them is planted in some ring.
KNOWN_BUGS = (
    "one global length",
    "concatenation on the heads axis",
    "appending onto a preallocated zero buffer",
    "a chunk's length taken for the total",
    "full history and new rows confused",
    "clamping the length to the window",
    "circular that shifts by copying",
    "K stored before V is checked",
    "a rejected append that leaves a phantom row",
    "V shorter than K broadcast silently",
    "trim on a wrapped ring that only moves a counter",
    "modulo applied to every axis",
    "early queries of a chunk robbed of their window",
    "window off by one: W - 1 keys",
    "window off by one: W + 1 keys",
    "physical order returned as if temporal",
    "negative trim that adds rows",
)


@dataclass(frozen=True)
class Mistake:
    """What is known about a mistake.

    Parameters
    ----------
    invariants : tuple of str
        What the search may find broken.
    steps : int
        The most that its shortest history may have.
    known : str
        Which of `KNOWN_BUGS` it is, if one.
    """

    invariants: tuple[str, ...]
    steps: int
    known: str = ""


def planted(*invariants, steps, known=""):
    """Mark a class as a ring with a mistake; its docstring says which."""
    assert not known or known in KNOWN_BUGS, known

    def mark(ring):
        ring.mistake = Mistake(invariants, steps, known)
        return ring

    return mark
