"""One virtual environment per library and release, under .backends/; and workers in them."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.backends.catalogue import IN_CI, LIBRARIES

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".backends"


def python_of(library, version):
    """The interpreter of an environment that has the release, made if it is not there."""
    folder = HOME / f"{library.name}-{version}"
    ready, python = folder / ".ready", folder / "bin" / "python"
    if not ready.exists():
        print(f"installing {library.name} {version}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        for requirements in library.requirements(version):
            pip = [python, "-m", "pip", "install", "--quiet", *requirements]
            environment = {**os.environ, **dict(library.environment)}
            subprocess.run(pip, check=True, stdout=sys.stderr, env=environment)
        ready.touch()
    return python


class Worker:
    """Judges caches in the environment of a release while others do the same elsewhere."""

    def __init__(self, library, version, caches, options):
        self.library, self.version, self.caches = library, version, caches
        command = [python_of(library, version), "-m", "tests.backends.worker", *caches]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def results(self):
        """JSON data, one cache after the other as they are judged."""
        for line in self.process.stdout:
            yield json.loads(line)
        errors = self.process.stderr.read()
        if self.process.wait():
            name = f"{self.library.name} {self.version}"
            raise SystemExit(f"{name}: the worker failed\n{errors[-2000:]}")


if __name__ == "__main__":
    # All that `make backends-ci` installs, by a bare Python: beside whatever installs kvring.
    for name in IN_CI:
        python_of(LIBRARIES[name], LIBRARIES[name].newest)
