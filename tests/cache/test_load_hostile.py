"""Files that are no saved cache, whoever made them: SnapshotError, and nothing built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvring import LRU, Append, HeavyHitter, KVCache, Replace, SnapshotError
from tests.cache.forging import Forged
from tests.cache.saved import assert_same, build, in_every_mode, with_holes
from tests.cache.test_load import resident_growth, with_notebooks
from tests.policies import Bookkeeper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of `in_every_mode`: layers append, replace, two rings, FIFO, two LRU, scores."""
    path = tmp_path_factory.mktemp("saved") / "file"
    in_every_mode(batch=2).save(path)
    return path.read_bytes()


@pytest.fixture
def forged(saved: bytes) -> Forged:
    return Forged(saved)


def refused(path: Path, data: bytes, message: str = "") -> str:
    """The message of the SnapshotError with which `data` is refused."""
    path.write_bytes(data)
    with pytest.raises(SnapshotError) as caught:
        KVCache.load(path, policies=Bookkeeper())
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert re.search(message, said), said
    assert len(said) < 1000
    return said


def test_a_file_forged_into_what_it_was_is_the_same_cache(path: Path, forged: Forged) -> None:
    forged.laid_out()
    path.write_bytes(forged.signed())
    assert_same(in_every_mode(batch=2), KVCache.load(path))


# Not a file of ours


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too short: expected 8 bytes and more, got 0"),
        (b"1234567", "too short"),
        (bytes(8), "expected JSON"),
        (b"\xff" * 8, r"its length says 18,446,744,073,709,551,615"),
        ((1 << 21).to_bytes(8, "little"), r"truncated: the header alone takes 2,097,160 bytes"),
        (((1 << 21) + 1).to_bytes(8, "little") + bytes(1 << 22), "its length says 2,097,153"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "header: expected at most"),
        (b"\x02\0\0\0\0\0\0\0{}", "expected a cache saved by kvring, got a file of format 'unk"),
    ],
)
def test_other_files_are_refused(path: Path, data: bytes, message: str) -> None:
    refused(path, data, message)


def test_safetensors_files_of_others_are_refused(path: Path) -> None:
    import safetensors.numpy

    safetensors.numpy.save_file({"x": np.ones(3)}, path, {"format": "pt"})
    refused(path, path.read_bytes(), "expected a cache saved by kvring, got a file of format 'pt'")


ONE_BYTE = '{"dtype":"I8","shape":[1],"data_offsets":[%s]}'
HEADERS: dict[str, tuple[str, str]] = {
    "no object": ("[1]", "header: expected an object, got list"),
    "no JSON": ('{"a":', "header: expected JSON"),
    "two objects": ("{}{}", "header: expected JSON"),
    "a key twice": ('{"a":1,"a":1}', "'a' stands there twice"),
    "a key twice inside": ('{"a":{"b":1,"b":1}}', "'b' stands there twice"),
    "NaN": ('{"a":NaN}', "NaN is no number"),
    "infinity": ('{"a":-Infinity}', "-Infinity is no number"),
    "many digits": ('{"a":' + "9" * 50_000 + "}", "a number of 50000 digits"),
    "deep": ('{"a":' + "[" * 90_000 + "]" * 90_000 + "}", "nested deeper"),
    "wide": ('{"a":[' + "[]," * 200_000 + "[]]}", "more than 100,000 values"),
    "metadata no object": ('{"__metadata__":[]}', "expected an object"),
    "metadata no strings": ('{"__metadata__":{"a":1}}', "expected strings"),
    "a tensor no object": ('{"a":1}', "tensor 'a': expected an object, got int"),
    "a tensor without shape": ('{"a":{"dtype":"I64","data_offsets":[0,0]}}', "expected .*shape"),
    "no dtype": ('{"a":{"dtype":"X9","shape":[],"data_offsets":[0,0]}}', "got 'X9'"),
    "dtype no string": ('{"a":{"dtype":[],"shape":[],"data_offsets":[0,0]}}', "expected a dtype"),
    "shape no list": ('{"a":{"dtype":"I8","shape":{},"data_offsets":[0,0]}}', "expected a list"),
    "negative": ('{"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,0]}}', "got -1"),
    "a float": ('{"a":{"dtype":"I8","shape":[1.0],"data_offsets":[0,1]}}', "got 1.0"),
    "a bool": ('{"a":{"dtype":"I8","shape":[true],"data_offsets":[0,1]}}', "got True"),
    "absurd": (
        '{"a":{"dtype":"I8","shape":[' + ",".join(["999999999999999999"] * 4) + "],"
        '"data_offsets":[0,1]}}',
        "takes 1 bytes, its shape says 999,",
    ),
    "five axes": ('{"a":{"dtype":"I8","shape":[1,1,1,1,1],"data_offsets":[0,1]}}', "no tensor has"),
    "backwards": ('{"a":{"dtype":"I8","shape":[1],"data_offsets":[1,0]}}', "no tensor has"),
    "three offsets": ('{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1,2]}}', "no tensor has"),
    "a gap": ('{"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}', "leaves a gap before it"),
    "an overlap": (
        '{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":' + ONE_BYTE % "1,2" + "}",
        "tensor 'b' overlaps the one before",
    ),
    "beyond the end": (
        '{"a":{"dtype":"I8","shape":[99],"data_offsets":[0,99]}}',
        "truncated: expected 99 bytes of data, got 8",
    ),
    "short of the end": (
        '{"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]}}',
        "bytes behind the end: expected 3 bytes of data, got 8",
    ),
    "surrogates": ('{"\\ud800":1}', "expected an object"),
    "a long name": ('{"' + "x" * 1_000_000 + '":1}', "expected an object"),
}


@pytest.mark.parametrize(("header", "message"), HEADERS.values(), ids=HEADERS.keys())
def test_headers_that_nobody_writes_are_refused(path: Path, header: str, message: str) -> None:
    raw = header.encode()
    refused(path, len(raw).to_bytes(8, "little") + raw + bytes(8), message)


@pytest.mark.parametrize("raw", [b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"{\x00}"])
def test_headers_that_are_no_text_are_refused(path: Path, raw: bytes) -> None:
    refused(path, len(raw).to_bytes(8, "little") + raw, "header: expected JSON")


def test_whatever_a_file_says_it_takes_no_memory(path: Path) -> None:
    small = path.with_name("small")
    in_every_mode().save(small)
    wide = b'{"a":[' + b"{}," * 600_000 + b"{}]}"
    deep = b"[" * 2_000_000
    text = b'{"a":"' + b"\xf0\x9f\x98\x80" * 400_000 + b'"}'
    for raw in (wide, deep, text):
        path.write_bytes(len(raw).to_bytes(8, "little") + raw)
        assert resident_growth(small, path) < max(2 * path.stat().st_size, 12_000_000)


# Ours, but for something


def test_a_newer_version_is_refused_and_says_so(path: Path, forged: Forged) -> None:
    for version, more in (("2", "newer kvring"), ("0", ""), ("", ""), ("one", ""), ("1.0", "")):
        forged.metadata["version"] = version
        said = refused(path, forged.signed(), f"version '{version}' of the format, expected 1")
        assert ("use a newer kvring" in said) == bool(more)


def test_each_checksum_is_looked_at(path: Path, forged: Forged) -> None:
    saved = forged.signed()
    for name, described in forged.header.items():
        if name in ("__metadata__", "checksums") or not forged.data[name]:
            continue
        forged.laid_out()
        start = len(saved) - sum(map(len, forged.data.values())) + described["data_offsets"][0]
        flipped = bytearray(saved)
        flipped[start] ^= 1
        refused(path, bytes(flipped), "damaged: the checksum of|negative|expected|layer")
    refused(path, saved.replace(b"written_by", b"writtem_by"), "damaged: the checksum of the head")
    refused(path, saved[:-1], "truncated: expected")
    refused(path, saved + b"\0", "bytes behind the end: expected")


CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no layers": (lambda c: c.update(layers=[]), "layers: expected an integer >= 1, got 0"),
    "layers no list": (lambda c: c.update(layers={}), "a list for layers"),
    "a layer no object": (lambda c: c["layers"].__setitem__(0, 7), "layer 0 lacks"),
    "more": (lambda c: c.update(more=1), "config: expected .* got"),
    "less": (lambda c: c.pop("dtype"), "config: expected .* got"),
    "huge_pages": (lambda c: c.update(huge_pages=1), "true or false for huge_pages"),
    "dtype": (lambda c: c.update(dtype="object"), "dtype: expected a numeric dtype"),
    "dtype of code": (lambda c: c.update(dtype="f4,f4"), "dtype: expected a numeric dtype"),
    "dtype alias": (lambda c: c.update(dtype="<f4"), "expected the name of a dtype"),
    "dtype number": (lambda c: c.update(dtype=7), "dtype"),
    "layout": (lambda c: c.update(layout="SBHD"), "layout: expected"),
    "batch 0": (lambda c: c.update(batch=0), "batch: expected an integer >= 1"),
    "batch true": (lambda c: c.update(batch=True), "batch: expected an integer"),
    "other batch": (lambda c: c.update(batch=3), "expected 'seq_lens' of I64"),
    "huge batch": (lambda c: c.update(batch=10**17), "expected 'seq_lens' of I64"),
    "kv_heads": (lambda c: c["layers"][0].update(kv_heads=-1), "kv_heads: expected"),
    "other kv_heads": (lambda c: c["layers"][0].update(kv_heads=4), "expected 'layer.0.keys'"),
    "huge head_dim": (lambda c: c["layers"][0].update(head_dim=10**17), "expected 'layer.0.keys'"),
    "no mode": (lambda c: c["layers"][0].update(mode="Forget"), "layer 0: expected a mode"),
    "mode a list": (lambda c: c["layers"][0].update(mode=[]), "layer 0: expected a mode"),
    "capacity text": (lambda c: c["layers"][0].update(capacity="9"), "capacity: expected"),
    "capacity nan": (lambda c: c["layers"][0].update(capacity=1e400), "Infinity|capacity"),
    "small capacity": (lambda c: c["layers"][0].update(capacity=3), "more rows than 3 slots"),
    "window 0": (lambda c: c["layers"][2].update(window=0), "window: expected an integer >= 1"),
    "small window": (lambda c: c["layers"][2].update(window=3), "no cache is like this"),
    "no window": (lambda c: c["layers"][2].pop("window"), "config: .*window"),
    "unknown option": (lambda c: c["layers"][2].update(colour=1), "config: .*colour"),
    "policy of a ring": (
        lambda c: c["layers"][2].update(eviction={"policy": "FIFO"}),
        "config: .*eviction",
    ),
    "no policy": (
        lambda c: c["layers"][4].update(eviction={"policy": "LFU"}),
        "layer 4: expected a policy",
    ),
    "policy text": (lambda c: c["layers"][4].update(eviction="FIFO"), "layer 4: expected a policy"),
    "threshold": (
        lambda c: c["layers"][6].update(eviction={"policy": "LRU", "threshold": 7}),
        "threshold: expected",
    ),
    "other policy": (
        lambda c: c["layers"][4].update(eviction={"policy": "LRU", "threshold": None}),
        "header: expected",
    ),
    "own policy": (
        lambda c: c["layers"][4].update(eviction={"policy": "own", "class": "Bookkeeper"}),
        "header: expected",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS.keys())
def test_configurations_that_make_no_cache_are_refused(
    path: Path, forged: Forged, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change(forged.config)
    refused(path, forged.signed(), message)


def test_a_configuration_that_is_no_json_is_refused(path: Path, forged: Forged) -> None:
    forged.metadata["config"] = "{"
    header = json.dumps(forged.header).encode()
    refused(path, forged.signed(header), "config: expected JSON")


def test_what_cannot_be_built_here_is_refused(path: Path) -> None:
    for mode in (Append(8), Append(8, LRU()), Append(8, HeavyHitter(2)), Replace(8)):
        build(mode).save(path)
        forged = Forged(path.read_bytes())
        for capacity in (10**13, 10**17, 10**18 - 1):
            forged.config["layers"][0]["capacity"] = capacity
            refused(path, forged.signed(), "no cache of this size can be made here")


def test_tensors_of_other_names_dtypes_or_shapes_are_refused(path: Path, forged: Forged) -> None:
    forged.laid_out()
    header = json.dumps(forged.header)
    for old, new in (
        ('"layer.0.keys"', '"layer.0.kexs"'),
        ('"layer.0.keys": {"dtype": "F32"', '"layer.0.keys": {"dtype": "I32"'),
        ('"shape": [2, 11, 2, 4]', '"shape": [2, 11, 4, 2]'),
        ('"shape": [2, 11, 2, 4]', '"shape": [2, 88]'),
        ('"seq_lens"', '"seq_lenz"'),
        ('"dtype": "I64", "shape": [8]', '"dtype": "U64", "shape": [8]'),
        ('"layer.4.slots"', '"layer.4.plots"'),
    ):
        assert old in header
        raw = header.replace(old, new, 1).encode()
        refused(path, forged.signed(raw), "header: expected")


def test_a_tensor_too_many_or_too_few_is_refused(path: Path, forged: Forged) -> None:
    forged.header["more"] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    forged.data["more"] = b""
    forged.laid_out()
    refused(path, forged.signed(), "header: expected")
    del forged.header["more"], forged.data["more"]
    del forged.header["layer.7.values"], forged.data["layer.7.values"]
    forged.laid_out()
    refused(path, forged.signed(), "header: expected")


def test_a_policy_of_ones_own_that_refuses_its_data_is_heard(path: Path) -> None:
    with_notebooks().save(path)
    forged = Forged(path.read_bytes())
    forged.data["layer.0.policy"] = b"{" * len(forged.data["layer.0.policy"])
    path.write_bytes(forged.signed())
    with pytest.raises(SyntaxError):
        KVCache.load(path, policies=Bookkeeper())


def test_holes_come_back(path: Path) -> None:
    with_holes().save(path)
    path.write_bytes(Forged(path.read_bytes()).signed())
    assert_same(with_holes(), KVCache.load(path))
