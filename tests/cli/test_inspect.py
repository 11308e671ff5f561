"""``kvring inspect`` on files that were made to break it: refused as ``KVCache.load`` refuses them.

Every checksum in them is right, so it is what they say that has to be looked at.
"""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from kvring import LRU, Append, EvictionPolicy, KVCache, SnapshotError
from tests.cli.running import run

ESCAPES = "\x1b[2J\x1b[31mred\n\r\u202e"


class Oldest(EvictionPolicy):
    """A policy of one's own."""

    def victims(self, candidates, count):
        return candidates[:count]

    def to_bytes(self):
        return b"something"

    def from_bytes(self, data):
        pass


@pytest.fixture
def saved(tmp_path):
    """A file with two layers, as metadata and tensors."""
    modes = [Append(8, eviction=LRU()), Append(8, eviction=Oldest())]
    cache = KVCache(layers=2, kv_heads=1, head_dim=1, strategy=modes)
    for layer in range(2):
        rows = np.ones((1, 5, 1, 1), np.float32)
        cache.update(layer, rows, rows)
    path = tmp_path / "saved.kv"
    cache.save(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    metadata = header.pop("__metadata__")
    places = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    tensors = {
        name: (told["dtype"], told["shape"], data[slice(*told["data_offsets"])])
        for name, told in places
    }
    return path, metadata, tensors


def write(path, metadata, tensors):
    """Write a file of these, with checksums that are right if there is room for them."""
    header, start = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in tensors.items():
        places = [start, start + len(data)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": places}
        start += len(data)
    text = json.dumps(header).encode()
    before = len(text).to_bytes(8, "little") + text
    (_, _, sums), *others = tensors.values()
    if len(sums) == 8 * len(tensors):
        sums = b"".join(zlib.crc32(data).to_bytes(8, "little") for _, _, data in others)
        sums += zlib.crc32(sums, zlib.crc32(before)).to_bytes(8, "little")
    path.write_bytes(before + sums + b"".join(data for _, _, data in others))


def assert_refused(path, capsys):
    """That neither `load` nor `inspect` takes a file, and that `inspect` says so in one line."""
    with pytest.raises(SnapshotError):
        KVCache.load(path, policies={1: Oldest()})
    for arguments in ([], ["--json"], ["--verify"]):
        code, out, err = run(capsys, "inspect", path, *arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"kvring inspect: {path}: ")
        assert err.count("\n") == 1
        assert err.strip().isprintable()
    return err


def test_files_written_by_the_helper_of_these_tests_are_fine(saved, capsys):
    write(*saved)
    assert KVCache.load(saved[0], policies={1: Oldest()}).seq_len == 5
    assert run(capsys, "inspect", saved[0], "--verify")[0] == 0


@pytest.mark.parametrize(
    "checksums",
    [("I64", [0], b""), ("U8", [3], b"abc"), ("I64", [1], bytes(8)), ("F64", [1], bytes(8))],
)
def test_checksums_that_are_none_are_refused(checksums, saved, capsys):
    path, metadata, tensors = saved
    write(path, metadata, {"checksums": checksums})
    assert_refused(path, capsys)
    write(path, metadata, {**tensors, "checksums": checksums})
    assert_refused(path, capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": None},
        {"layers": [5]},
        {"layers": []},
        {"layers": [{"mode": "Append"}]},
        {"batch": "x"},
        {"batch": -1},
        {"batch": 10**17},
        {"dtype": 5},
        {"dtype": ESCAPES},
        {"layout": None},
        {"huge_pages": 1},
        {ESCAPES: 1},
    ],
    ids=str,
)
def test_a_configuration_that_is_none_is_refused(change, saved, capsys):
    path, metadata, tensors = saved
    config = {**json.loads(metadata["config"]), **change}
    write(path, {**metadata, "config": json.dumps(config)}, tensors)
    assert_refused(path, capsys)


@pytest.mark.parametrize("config", ["{}", "", "[]", "null"])
def test_a_configuration_that_says_nothing_is_refused(config, saved, capsys):
    path, metadata, tensors = saved
    write(path, {**metadata, "config": config}, tensors)
    assert_refused(path, capsys)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": ESCAPES},
        {ESCAPES: 1},
        {"capacity": None},
        {"eviction": 5},
        {"eviction": {"policy": "own"}},
        {"eviction": {"policy": "own", "class": 7}},
        {"eviction": {"policy": "own", "class": "\0"}},
        {"eviction": {"policy": ESCAPES}},
    ],
    ids=str,
)
def test_a_layer_that_is_none_is_refused(change, saved, capsys):
    path, metadata, tensors = saved
    config = json.loads(metadata["config"])
    config["layers"][1] |= change
    write(path, {**metadata, "config": json.dumps(config)}, tensors)
    assert_refused(path, capsys)


@pytest.mark.parametrize("name", ["lengths", "layer.0.positions", "layer.1.values"])
def test_a_tensor_that_is_missing_or_another_is_refused(name, saved, capsys):
    path, metadata, tensors = saved
    write(path, metadata, {other: tensors[other] for other in tensors if other != name})
    assert_refused(path, capsys)
    dtype, shape, data = tensors[name]
    write(path, metadata, {**tensors, name: (dtype, [*shape, 1], data)})
    assert_refused(path, capsys)


@pytest.mark.parametrize("length", [-5, 4, 1 << 62])
def test_lengths_that_are_not_those_of_the_rows_are_refused(length, saved, capsys):
    path, metadata, tensors = saved
    dtype, shape, _ = tensors["lengths"]
    told = np.array([length, 5], np.int64).tobytes()
    write(path, metadata, {**tensors, "lengths": (dtype, shape, told)})
    assert_refused(path, capsys)


def test_what_a_file_says_of_its_writer_is_shown_without_its_escapes(saved, capsys):
    path, metadata, tensors = saved
    write(path, {**metadata, "written_by": ESCAPES}, tensors)
    code, out, _ = run(capsys, "inspect", path)
    assert code == 0
    assert r"written by \x1b[2J\x1b[31mred\n\r\u202e;" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_a_file_that_does_not_say_who_wrote_it_is_fine(saved, capsys):
    path, metadata, tensors = saved
    del metadata["written_by"]
    write(path, metadata, tensors)
    assert "written by an unknown program" in run(capsys, "inspect", path)[1]
