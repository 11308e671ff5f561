"""Kernels come up on any machine: no cache folder, damaged cache files, two processes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kvring
from kvring import _jit, compiling, kernels
from kvring.kernels import DONE, MISSHAPEN, TICKET

PACKAGE = Path(kvring.__file__).parent
WITHOUT_JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
needs_jit = pytest.mark.skipif(
    WITHOUT_JIT, reason="NUMBA_DISABLE_JIT: nothing is compiled, so nothing is cached"
)

# A user's first four tokens, in the chunks that the command line names. The ring wraps.
SCRIPT = """
import sys
import numpy as np
from kvring import Circular, KVCache
cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Circular(window=3))
for chunk in sys.argv[1:]:
    rows = np.array([float(token) for token in chunk], np.float32).reshape(1, -1, 1, 1)
    cache.update(0, rows, -rows)
    cache.check()
keys, values = cache.read(0)
print(keys.ravel().tolist(), values.ravel().tolist())
"""
ANSWER = "[1.0, 2.0, 3.0] [-1.0, -2.0, -3.0]\n"
ONE_KERNEL = ("0", "1", "2", "3")


def start(
    *chunks: str, package_parent: Path = PACKAGE.parent, **environment: str
) -> subprocess.Popen[str]:
    """A fresh interpreter that runs SCRIPT; warnings are errors there."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, *chunks],
        env={**os.environ, **environment},
        cwd=package_parent,  # the first place where the interpreter looks for kvring
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_answers(process: subprocess.Popen[str]) -> None:
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output, errors) == (0, ANSWER, "")


def cache_files(folder: Path) -> dict[str, int]:
    """Every file of the disk cache, with the time it was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.nb[ic]")}


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk cache as one process has left it: one index, one machine code."""
    folder = tmp_path_factory.mktemp("warm")
    assert_answers(start(*ONE_KERNEL, NUMBA_CACHE_DIR=str(folder)))
    assert len(cache_files(folder)) == 2
    return folder


# The disk cache


@needs_jit
def test_a_second_process_takes_the_kernels_from_the_disk_cache(warm_cache: Path) -> None:
    before = cache_files(warm_cache)
    assert_answers(start(*ONE_KERNEL, NUMBA_CACHE_DIR=str(warm_cache)))
    assert cache_files(warm_cache) == before


@needs_jit
@pytest.mark.parametrize("named", [True, False], ids=["NUMBA_CACHE_DIR", "no folder named"])
def test_a_machine_with_no_folder_to_write_to_is_no_reason_not_to_run(
    tmp_path: Path, named: bool
) -> None:
    copied = tmp_path / "installed" / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    # Numba would make a folder of this name. Where there is a file not even root can.
    (copied / "__pycache__").touch()
    nowhere = str(copied / "__pycache__" / "below")
    home = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), nowhere)
    cache = nowhere if named else ""
    assert_answers(start(*ONE_KERNEL, package_parent=copied.parent, NUMBA_CACHE_DIR=cache, **home))
    assert not cache_files(tmp_path)


@needs_jit
@pytest.mark.parametrize(
    ("suffix", "damaged"),
    [
        ("nbi", lambda index: index[: len(index) // 2]),
        ("nbc", lambda code: code[: len(code) // 2]),
        ("nbc", lambda code: b"garbage"),
    ],
    ids=["index cut short", "machine code cut short", "garbage for machine code"],
)
def test_a_damaged_cache_file_is_no_reason_not_to_run(
    warm_cache: Path, tmp_path: Path, suffix: str, damaged: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(warm_cache, folder)
    for path in folder.rglob(f"*.{suffix}"):
        path.write_bytes(damaged(path.read_bytes()))
    assert_answers(start(*ONE_KERNEL, NUMBA_CACHE_DIR=str(folder)))


@needs_jit
def test_two_processes_that_start_at_once_with_an_empty_cache_both_work(tmp_path: Path) -> None:
    folder = str(tmp_path)
    one_token_first = start("0", "12", "3", NUMBA_CACHE_DIR=folder)
    two_tokens_first = start("01", "2", "3", NUMBA_CACHE_DIR=folder)
    assert_answers(one_token_first)
    assert_answers(two_tokens_first)
    assert_answers(start("0", "12", "3", NUMBA_CACHE_DIR=folder))


def test_cache_names_differ_wherever_machine_codes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        return [
            _jit._renamed(function, _jit.source_rows(width), options).__qualname__
            for function in (kernels.put_row, kernels.put_rows)
            for width in (1, 2, 4, 8)
            for options in ({"nogil": False}, {"nogil": True}, {"fastmath": {"contract"}})
        ]

    unchecked = names()
    monkeypatch.setattr(_jit._settings, "BOUNDSCHECK", not _jit._settings.BOUNDSCHECK)
    checked = names()
    monkeypatch.setattr(_jit, "__version__", "another")
    of_another_version = names()
    assert len({*unchecked, *checked, *of_another_version}) == 3 * 2 * 4 * 3


# Entry points


def arguments_of(name: str) -> tuple[Any, ...]:
    source = _jit.source_rows(2)
    last = _jit.int64 if name == "put_row" else _jit.int64s
    return (_jit.int64s, source, source, _jit.int64, _jit.int64, last)


@pytest.mark.parametrize("name", ["put_row", "put_rows"])
def test_an_entry_point_that_fails_gives_way_to_the_dispatcher(name: str) -> None:
    tried: list[Any] = []

    def fails(entry: Any) -> bool:
        tried.append(entry)
        return False

    kernel = _jit.compiled(
        getattr(kernels, name), arguments_of(name), releases_gil=False, works=fails
    )
    assert len(tried) == (0 if WITHOUT_JIT else 1)
    assert kernel not in tried
    # float16, read-only, two layouts: what the dispatcher alone would not take as uint16.
    assert compiling._works(kernel, name, 2)


@pytest.mark.parametrize("name", ["put_row", "put_rows"])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_the_trial_passes_a_kernel_that_works(name: str, width: int) -> None:
    assert compiling._works(compiling.kernel(name, width), name, width)


def test_the_trial_rejects_a_kernel_that_does_anything_else() -> None:
    good = compiling.kernel("put_row", 4)

    def forgets_the_ticket(block: Any, *args: Any) -> int:
        code = good(block, *args)
        block[TICKET] = 0
        return code

    def writes_elsewhere(block: Any, *args: Any) -> int:
        return good(block, *args[:-1], 1)

    for bad in (lambda *_: DONE, lambda *_: MISSHAPEN, forgets_the_ticket, writes_elsewhere):
        assert not compiling._works(bad, "put_row", 4)


def test_each_kernel_is_compiled_once_per_process() -> None:
    first = compiling.kernel("put_rows", 8, releases_gil=True)
    assert compiling.kernel("put_rows", 8, releases_gil=True) is first
    assert compiling.kernel("put_rows", 8) is not first


# What kernels are made of


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32", "complex64"])
def test_word_bytes_is_the_width_of_an_element(dtype: str) -> None:
    assert _jit.word_bytes(np.zeros(3, dtype)) == np.dtype(dtype).itemsize


def test_rows_at_an_address_are_the_rows_that_are_there() -> None:
    rows = np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4)
    found = _jit.rows_at(rows.ctypes.data, (1, 2, 3, 4), rows[:, :1])
    np.testing.assert_array_equal(found, rows)
    found[0, 1, 2, 3] = 99
    assert rows[0, 1, 2, 3] == 99


def test_importing_kvring_loads_no_compiler() -> None:
    code = "import sys, kvring; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=False)
    assert done.returncode == 0
