"""What each eviction policy costs a real model: perplexity, and which positions survive.

Run by ``make eviction``. The model is the demo's, in the folder next to this one.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1]


def main() -> int:
    """Measure and write the page and the picture; 1 if something is missing."""
    parser = argparse.ArgumentParser(prog="eviction", description=__doc__)
    parser.add_argument("--tokens", type=int, default=4000, help="tokens of text")
    parser.add_argument("--resident", type=int, default=512, help="slots of a layer")
    parser.add_argument("--chunk", type=int, default=8, help="tokens of an update")
    parser.add_argument("--into", type=Path, default=DOCS, help="folder of eviction.md")
    options = parser.parse_args()
    # One thread unless the user has chosen: see the demo.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, (os.cpu_count() or 1) - 1)))
    sys.path.insert(0, str(HERE.with_name("smollm2")))
    try:
        from contest import run_contest
        from page import write_page
        from survivors import draw_survivors
        from terminal import DemoError
    except ModuleNotFoundError as error:
        install = 'pip install -e ".[demo,plot]" in the root of the repository'
        print(f"eviction: error: package {error.name} is missing; {install}", file=sys.stderr)
        return 1
    try:
        results = run_contest(options.tokens, options.resident, options.chunk)
    except DemoError as error:
        print(f"eviction: error: {error}", file=sys.stderr)
        return 1
    draw_survivors(results, options.into / "eviction.png")
    print(write_page(results, options.into / "eviction.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
