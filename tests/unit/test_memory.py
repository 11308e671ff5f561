"""Memory is reserved at once, committed as rows are written, private, and given back."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import kvring
from kvring import Append, ConfigError, KVCache, RingBuffer, memory
from kvring.memory import reserve

MIB = 1 << 20

# Run in a process of its own, where nothing else takes or gives back memory meanwhile.
PREAMBLE = """
import mmap, sys
import numpy as np
from kvring.memory import reserve

MIB = 1 << 20

def resident():
    '''Bytes of this process that are in memory.'''
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * mmap.PAGESIZE
"""

needs_statm = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc/self/statm"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def numbers_printed_by(script: str) -> list[float]:
    """What a fresh interpreter prints, as numbers: bytes of growth in MiB, mostly."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + script],
        cwd=Path(kvring.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [float(word) for word in done.stdout.split()]


# Committed as written


@needs_statm
def test_reserving_takes_no_memory_and_writing_takes_what_is_written() -> None:
    reserved, written, given_back = numbers_printed_by("""
before = resident()
array = reserve(1024 * MIB)
print((resident() - before) / MIB)
array[512 * MIB : 576 * MIB] = 1
print((resident() - before) / MIB)
del array
print((resident() - before) / MIB)
""")
    assert reserved < 4
    assert 60 < written < 68  # of 1024 MiB, 64 were written
    assert given_back < 4


@needs_statm
def test_a_row_in_each_of_many_planes_commits_a_page_each_and_not_two_mebibytes() -> None:
    (grown,) = numbers_printed_by("""
planes = [reserve(8 * MIB) for _ in range(60)]
before = resident()
for plane in planes:
    plane[3 * MIB : 3 * MIB + 768] = 1
print((resident() - before) / MIB)
""")
    assert grown < 4  # 60 pages of 4 KiB are 0.23 MiB, 60 huge pages would be 120


@needs_statm
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_a_cache_of_a_million_tokens_commits_memory_as_they_arrive(layout: str) -> None:
    built, filled = numbers_printed_by(f"""
from kvring import Append, KVCache
shape = (1, 256, 3, 64) if {layout!r} == "BSHD" else (1, 3, 256, 64)
rows = np.ones(shape, np.float32)
def make(capacity):
    return KVCache(
        layers=30, kv_heads=3, head_dim=64, strategy=Append(capacity), layout={layout!r}
    )
make(256).update(0, rows, rows)  # compiles
before = resident()
cache = make(1_000_000)
print((resident() - before) / MIB)
for layer in range(30):
    cache.update(layer, rows, rows)
print((resident() - before) / MIB)
""")
    # 30 layers x K and V x 256 tokens x 3 x 64 elements of 4 bytes = 11.25 MiB.
    assert built < 4
    assert 9 < filled < 14


def test_what_is_reserved_reads_as_zeros_and_can_be_written() -> None:
    array = reserve(3 * mmap.PAGESIZE + 5)
    assert (array.dtype, array.shape) == (np.uint8, (3 * mmap.PAGESIZE + 5,))
    assert not array.any()
    array[-1] = 7
    assert array[-1] == 7


# Private


@needs_fork
def test_a_forked_child_writes_into_a_copy_of_its_own() -> None:
    assert numbers_printed_by("""
import os
array = reserve(1 * MIB)
array[:] = 1
child = os.fork()
if child == 0:
    array[:] = 2
    os._exit(int(array[0]))
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), int(array.min()), int(array.max()))
""") == [2, 1, 1]


# Sizes that cannot be


@pytest.mark.parametrize(
    ("nbytes", "number"),
    [
        (1 << 62, "4,611,686,018,427,387,904"),
        (1 << 80, "1,208,925,819,614,629,174,706,176"),
    ],
)
def test_a_ridiculous_number_of_bytes_is_a_config_error(nbytes: int, number: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^cannot reserve {number} bytes: .+; use a smaller cap"
    ):
        reserve(nbytes)


def test_a_ridiculous_capacity_is_a_config_error() -> None:
    # 1 token: 2 KV heads x (3 + 5) elements x 4 bytes; keys come first, 24 bytes per token.
    message = rf"^cannot reserve {24 * 10**17:,} bytes: .+; use a smaller capacity$"
    with pytest.raises(ConfigError, match=message):
        KVCache(layers=1, kv_heads=2, head_dim=3, value_dim=5, strategy=Append(10**17))
    with pytest.raises(ConfigError, match=message):
        RingBuffer(10**17, kv_heads=2, head_dim=3, value_dim=5)


# Systems that differ


def other_mmap(*missing: str, advice_fails: bool = False) -> tuple[SimpleNamespace, list[int]]:
    """The module mmap as of another system, and the list of advice it was given."""
    given: list[int] = []

    class Mapping(mmap.mmap):
        def madvise(self, option: int, *_: int) -> None:
            given.append(option)
            if advice_fails:
                raise OSError("no such advice")

    constants = {name: getattr(mmap, name) for name in dir(mmap) if name.isupper()}
    constants |= {"MADV_HUGEPAGE": 1001, "MADV_NOHUGEPAGE": 1002}
    for name in missing:
        constants.pop(name, None)
    return SimpleNamespace(mmap=Mapping, **constants), given


@pytest.mark.parametrize(("huge_pages", "advice"), [(False, 1002), (True, 1001)])
def test_huge_pages_are_declined_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, huge_pages: bool, advice: int
) -> None:
    module, given = other_mmap()
    monkeypatch.setattr(memory, "mmap", module)
    RingBuffer(8, kv_heads=1, head_dim=1, huge_pages=huge_pages)
    assert given == [advice, advice]  # one mapping for keys, one for values


@pytest.mark.parametrize(
    ("missing", "advice_fails"),
    [
        ((), True),
        (("MADV_HUGEPAGE", "MADV_NOHUGEPAGE"), False),
        (("MAP_NORESERVE",), False),
        (("MAP_PRIVATE",), False),
    ],
    ids=["no huge pages in the kernel", "no advice", "no NORESERVE", "Windows"],
)
@pytest.mark.parametrize("huge_pages", [False, True])
def test_systems_without_some_of_it_reserve_all_the_same(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], advice_fails: bool, huge_pages: bool
) -> None:
    module, _ = other_mmap(*missing, advice_fails=advice_fails)
    monkeypatch.setattr(memory, "mmap", module)
    array = reserve(5000, huge_pages=huge_pages)
    assert len(array) == 5000
    assert not array.any()
    array[:] = 1
