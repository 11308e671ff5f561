"""``make backends``: the oracle on the caches of other libraries.

Without arguments: all newest releases. With ``--findings`` also the releases with known bugs, and
docs/findings.md is written. With ``--ci`` a finding that is not expected, or one that is expected
and gone, fails the run.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.backends import findings
from tests.backends.catalogue import IN_CI, LIBRARIES
from tests.backends.environments import Worker
from tests.backends.rounds import is_known

EXPECTED = Path(__file__).parent / "expected.json"
COLUMNS = "{:<14}{:<9}{:<38}{:>6}{:>11}{:>12}  {:<38}{:>6}{:>9}"
TITLES = ("library", "version", "cache", "tried", "histories", "operations", "verdict")


def main():
    options = parsed()
    if options.write:
        findings.write(EXPECTED)
        return 0
    jobs = jobs_of(options)
    print(COLUMNS.format(*TITLES, "steps", "seconds"))
    with ThreadPoolExecutor(3) as pool:
        results = [row for rows in pool.map(lambda job: run(job, options), jobs) for row in rows]
    if not options.ci:
        findings.save(results)
    if options.findings:
        findings.write(EXPECTED)
    return check(results) if options.ci else 0


def parsed():
    parser = argparse.ArgumentParser(prog="make backends", description=__doc__)
    parser.add_argument("--backend", default="", help="one library")
    parser.add_argument("--version", default="", help="a release other than the newest")
    parser.add_argument("--max-examples", default="200")
    parser.add_argument("--time-limit", default="120", help="for each round of each cache")
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("--findings", action="store_true")
    parser.add_argument("--known", action="store_true", help="releases with known bugs alone")
    parser.add_argument("--write", action="store_true", help="docs/findings.md from the last runs")
    options = parser.parse_args()
    if options.backend and options.backend not in LIBRARIES:
        parser.error(f"no backend {options.backend!r}; there are {', '.join(LIBRARIES)}")
    return options


def jobs_of(options):
    """(library, version, caches): newest releases, and those with known bugs where asked for."""
    jobs = []
    for library in LIBRARIES.values():
        if options.ci and library.name not in IN_CI:
            continue
        if options.backend in ("", library.name):
            if not options.known:
                jobs.append((library, options.version or library.newest, library.caches))
            if options.findings or options.known:
                versions = sorted({known.version for known in library.known} - {library.newest})
                jobs += [(library, v, sorted(caches_of(library, v))) for v in versions]
    return sorted(jobs, key=lambda job: not job[0].options)  # what is compiled comes first


def caches_of(library, version):
    """The caches in which the release has a known bug."""
    return {known.cache for known in library.known if known.version == version}


def run(job, options):
    """All results of one release, each printed as it comes."""
    library, version, caches = job
    # What is known to be there is looked for longer.
    times = 1 if version == library.newest else 3
    examples = str(times * int(options.max_examples))
    limits = ["--max-examples", examples, "--time-limit", options.time_limit]
    if options.ci:
        limits += ["--replay", str(EXPECTED)]
    results = []
    for result in Worker(library, version, caches, limits).results():
        results.append({"library": library.name, "version": version, **result})
        show(results[-1])
    return results


def show(result):
    """A line of the table for each finding, or one that says clean."""
    verdicts = [(f["key"], len(f["notes"])) for f in result["findings"]] or [("clean", "")]
    if "could_not_run" in result:
        verdicts = [(result["could_not_run"][:38], "")]
    names = (result["library"], result["version"], result["cache"])
    counts = (len(result["tried"]), result["histories"], result["operations"])
    for number, (verdict, steps) in enumerate(verdicts):
        cells = (*names, *counts) if not number else ("",) * 6
        seconds = "" if number else result["seconds"]
        print(COLUMNS.format(*cells, verdict, steps, seconds), flush=True)


def check(results):
    """1 if a finding is new, or one that is expected was not found again."""
    expected = json.loads(EXPECTED.read_text())
    failed = 0
    for result in results:
        entries = expected.get(result["cache"], [])
        for entry, invariant in zip(entries, result["replayed"], strict=True):
            if invariant != entry["invariant"]:
                failed += 1
                print(f"\nvanished from {result['cache']}: {entry['key']}\n{entry['text']}")
        for finding in result["findings"]:
            if not is_known(finding["key"], [entry["key"] for entry in entries]):
                failed += 1
                print(f"\nnew in {result['cache']}: {finding['key']}\n{finding['text']}")
    print(f"\n{failed} findings are not as expected" if failed else "\nall as expected")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
