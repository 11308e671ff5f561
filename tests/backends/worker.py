"""Runs in the environment of one library: judges caches, and prints one JSON object for each."""

import argparse
import json
import os
import sys
import time
from importlib import import_module

from kvring.testing.observations import UnsupportedError
from kvring.testing.probe import CouldNotRunError
from kvring.testing.report import report_json, report_text
from kvring.testing.supports import OPERATIONS
from tests.backends.rounds import key_of, rounds, still_found


def factory_of(cache):
    """`module:factory` among the adapters."""
    module, _, name = cache.partition(":")
    return getattr(import_module(f"kvring.testing.backends.{module}"), name)


def judged(cache, options):
    """All rounds of one cache as JSON data."""
    started = time.monotonic()
    found = []
    result = {"cache": cache, "histories": 0, "operations": 0, "tried": [], "findings": found}
    try:
        factory = factory_of(cache)
        for left_out, outcome in rounds(
            factory, max_examples=options.max_examples, time_limit=options.time_limit
        ):
            result["histories"] += outcome.histories
            result["operations"] += outcome.operations
            if not left_out:
                result["tried"] = [o for o in OPERATIONS if outcome.supports.has(o)]
            if outcome.divergence is not None:
                divergence = outcome.divergence
                found.append(
                    {
                        "left_out": list(left_out),
                        "key": key_of(divergence.trace, divergence.finding.invariant),
                        "text": report_text(divergence).partition("The same without")[0].rstrip(),
                        **report_json(divergence),
                    }
                )
    except (CouldNotRunError, UnsupportedError, ImportError) as error:
        result["could_not_run"] = str(error)
    if not result["histories"]:
        result.setdefault("could_not_run", "no history was tried in the time there was")
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def own_stdout():
    """The stdout of this process, for answers alone: libraries print there, too, even from C."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("caches", nargs="+")
    parser.add_argument("--max-examples", type=int, default=300)
    parser.add_argument("--time-limit", type=float, default=20)
    parser.add_argument("--replay", metavar="FILE", help="expected findings to take once more")
    options = parser.parse_args()
    expected = {}
    if options.replay:
        with open(options.replay, encoding="utf-8") as file:
            expected = json.load(file)
    answers = own_stdout()
    for cache in options.caches:
        replayed = []
        for entry in expected.get(cache, []):
            finding = still_found(factory_of(cache), entry["trace"])
            replayed.append(finding.invariant if finding else "")
        result = judged(cache, options)
        result["replayed"] = replayed
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
