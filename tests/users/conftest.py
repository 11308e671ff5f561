"""What needs torch and transformers: `make users` installs them; elsewhere all of it is skipped."""

import importlib.util
from pathlib import Path

import pytest

MISSING = [
    name
    for name in ("torch", "transformers", "accelerate")
    if importlib.util.find_spec(name) is None
]
# Only what can be imported is collected: one test, which says why the others are not.
ALWAYS = {"conftest.py", "test_missing.py"}
HERE = Path(__file__).parent
collect_ignore = [path.name for path in HERE.glob("*.py") if MISSING and path.name not in ALWAYS]


@pytest.fixture(autouse=True)
def _as_in_generate():
    """No gradients; and one thread, which is enough for tiny models."""
    if MISSING:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)
