"""Drafts, beams and prompts of different length, on the demo's model, each against its slow twin.

``python docs/examples/speculative [TOKENS]``, after ``make demo`` has installed the model, or
``make speculative``. Every part prints that its texts are identical to those of the plain way, and
what both took; exit code 1 if one is not.
"""

import os
import sys
from pathlib import Path

# One core: a product spread over all cores waits for the slowest of them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "smollm2"))


def main() -> int:
    """Run all parts; what is missing is one line on stderr."""
    try:
        from beams import compare_beams
        from drafts import compare_drafts
        from load import load
        from prompts import compare_prompts
        from terminal import DemoError

        import kvring
    except ModuleNotFoundError as error:
        print(f"package {error.name} is missing; run `make demo` once", file=sys.stderr)
        return 1
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    try:
        model, tokenizer = load()
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kvring.warm_up("float32", attention=True, ragged=True)
    parts = (compare_drafts, compare_beams, compare_prompts)
    identical = [part(model, tokenizer, tokens) for part in parts]
    return 0 if all(identical) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
