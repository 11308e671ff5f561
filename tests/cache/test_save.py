"""Saving: what a file holds, and that there is always an old one or a new one."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from kvring import Append, Circular, DTypeError, KVCache, SnapshotError
from kvring.snapshot import replacing
from tests.cache.feeding import make
from tests.cache.saved import (
    DTYPES,
    STATES,
    advance,
    assert_same,
    build,
    in_every_mode,
    ragged,
    with_holes,
)
from tests.support import ROOT, poison


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.safetensors"


# What is in the file


def opened(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Metadata and tensors, by the library."""
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    return metadata, dict(safetensors.deserialize(path.read_bytes()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_the_library_finds_rows_in_temporal_order_with_their_positions(
    path: Path, dtype: str, layout: Any
) -> None:
    cache = build(Circular(4, 1, 2), Append(20), dtype=dtype, layout=layout, batch=2)
    advance(cache, 12)
    cache.save(path)
    metadata, tensors = opened(path)
    assert (metadata["format"], metadata["version"]) == ("kvring", "1")
    assert json.loads(metadata["config"])["dtype"] == dtype
    for layer in range(2):
        found = tensors[f"layer.{layer}.positions"]
        positions = np.frombuffer(found["data"], np.int64).reshape(found["shape"])
        for of_batch_row in positions:
            np.testing.assert_array_equal(of_batch_row, cache.positions(layer))
        shown = zip(("keys", "values"), whole(cache, layer), strict=True)
        for kind, rows in shown:
            stored = tensors[f"layer.{layer}.{kind}"]
            assert tuple(stored["shape"]) == rows.shape
            assert bytes(stored["data"]) == rows.tobytes()


def whole(cache: KVCache, layer: int) -> tuple[Any, Any]:
    """K and V of all resident rows, oldest first."""
    ring = cache.rings[layer]
    return tuple(s.take(cache.slots(layer), ring.token_axis) for s in (ring._keys, ring._values))  # type: ignore[return-value]


@pytest.mark.parametrize("layout", ["BSHD", "BHSD"])
def test_batch_rows_of_different_lengths_follow_each_other(path: Path, layout: Any) -> None:
    cache = ragged(layout=layout)
    cache.save(path)
    tensors = safetensors.numpy.load_file(path)
    lengths = tensors["lengths"]
    np.testing.assert_array_equal(lengths, cache.lengths)
    np.testing.assert_array_equal(tensors["seq_lens"], cache.seq_lens)
    for layer, ring in enumerate(cache.rings):
        ends = np.cumsum(lengths[layer])
        for batch_row, (end, rows) in enumerate(zip(ends, lengths[layer], strict=True)):
            positions, slots = (
                of[batch_row] for of in (cache.positions(layer), cache.slots(layer))
            )
            positions, slots = positions[positions >= 0], slots[slots >= 0]
            stored = tensors[f"layer.{layer}.positions"].reshape(-1)[end - rows : end]
            order = np.argsort(stored)
            np.testing.assert_array_equal(stored[order], positions)
            for kind, held in (("keys", ring._keys), ("values", ring._values)):
                dim = held.shape[-1]
                per_row = 2 * dim  # kv_heads of them
                found = tensors[f"layer.{layer}.{kind}"].reshape(-1)
                found = found[(end - rows) * per_row : end * per_row]
                axes = (rows, 2, dim) if layout == "BSHD" else (2, rows, dim)
                found = found.reshape(axes).take(order, axis=ring.token_axis - 1)
                expected = held[batch_row].take(slots, axis=ring.token_axis - 1)
                assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_the_library_loads_it_as_numpy_arrays(path: Path, dtype: str) -> None:
    cache = in_every_mode(dtype=dtype)
    cache.save(path)
    tensors = safetensors.numpy.load_file(path)
    assert tensors["seq_lens"].tolist() == cache.seq_lens.tolist()
    assert tensors["lengths"].tolist() == cache.lengths.tolist()
    assert tensors["layer.0.keys"].dtype == np.dtype(dtype)
    assert tensors["layer.0.keys"].tobytes() == whole(cache, 0)[0].tobytes()


def test_bfloat16_and_float8_have_their_names_and_others_are_integers(path: Path) -> None:
    names = {
        "bfloat16": "BF16",
        "float8_e4m3fn": "F8_E4M3",
        "float8_e5m2": "F8_E5M2",
        "float8_e4m3b11fnuz": "U8",
        "complex64": "U64",
    }
    for dtype, name in names.items():
        cache = build(Append(4), dtype=dtype)
        advance(cache, 2)
        cache.save(path)
        assert opened(path)[1]["layer.0.keys"]["dtype"] == name
        assert KVCache.load(path).dtype == np.dtype(getattr(ml_dtypes, dtype, dtype))


def test_only_rows_that_are_resident_are_in_the_file(path: Path) -> None:
    cache = build(Append(1_000_000), Circular(500_000, 4), kv_heads=1, head_dim=8, value_dim=8)
    advance(cache, 3)
    cache.save(path)
    described = path.read_bytes().index(b"}}") + 10
    assert path.stat().st_size < cache.nbytes_used + described + 1000


def test_nothing_that_was_evicted_or_never_written_is_in_the_file(path: Path) -> None:
    for of in STATES.values():
        cache = of(dtype="uint8", batch=2)
        poison(cache)
        cache.save(path)
        for name, found in opened(path)[1].items():
            if name.endswith(("keys", "values")):
                assert 0xFF not in found["data"], name


def test_saving_changes_nothing(path: Path) -> None:
    for of in STATES.values():
        cache, twin = of(), of()
        views = [cache.read(layer) for layer in range(cache.layers)]
        cache.save(path)
        assert_same(twin, cache)
        assert cache.stats == twin.stats
        for view in views:
            view.mask()
            assert view.keys is not None  # not stale


def test_the_same_cache_gives_the_same_bytes(path: Path) -> None:
    in_every_mode().save(path)
    first = path.read_bytes()
    in_every_mode().save(path)
    assert path.read_bytes() == first


def test_the_reader_in_the_documentation_finds_the_rows_oldest_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "file-format.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(path.parent)
    for of in (with_holes, in_every_mode):
        cache = of()
        cache.save(path)
        found: dict[str, Any] = {}
        exec(code, found)
        np.testing.assert_array_equal(found["keys"], whole(cache, 0)[0][0])


# Where it is put


def test_a_file_is_replaced_and_keeps_its_permissions(path: Path) -> None:
    path.write_bytes(b"old")
    path.chmod(0o600)
    in_every_mode().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]
    KVCache.load(path)


def test_a_link_stays_a_link_and_its_target_is_replaced(path: Path) -> None:
    link = path.with_name("link")
    path.write_bytes(b"old")
    link.symlink_to(path.name)
    in_every_mode().save(str(link))
    assert link.is_symlink()
    KVCache.load(path)


@pytest.mark.parametrize("name", ["x" * 255, "grüße 𝄞", ".hidden", "a b'c\"d\\e\n"])
def test_any_name_that_a_file_can_have_will_do(tmp_path: Path, name: str) -> None:
    cache = make(Append(2))
    cache.save(tmp_path / name)
    cache.save(os.fsencode(tmp_path / name))  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == [name]


def test_what_the_system_refuses_is_raised_as_it_is(tmp_path: Path) -> None:
    cache = make(Append(2))
    with pytest.raises(FileNotFoundError):
        cache.save(tmp_path / "nowhere" / "file")
    with pytest.raises(IsADirectoryError):
        cache.save(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        cache.save(tmp_path / "file" / "file")
    with pytest.raises(FileNotFoundError):
        KVCache.load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError):
        KVCache.load(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def test_devices_and_pipes_are_neither_replaced_nor_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    message = "expected a file or nothing, got a device or a pipe"
    with pytest.raises(SnapshotError, match=message):
        make(Append(2)).save(pipe)
    with pytest.raises(SnapshotError, match=message):
        make(Append(2)).save("/dev/null")
    for device in (pipe, Path("/dev/null"), Path("/dev/zero")):
        with pytest.raises(SnapshotError, match="expected a file, got a device or a pipe"):
            KVCache.load(device)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("wrong", [7, None, 1.5, ["x"]])
def test_a_path_of_the_wrong_type_is_refused(wrong: Any) -> None:
    with pytest.raises(DTypeError, match="path: expected a str or a path, got"):
        make(Append(2)).save(wrong)
    with pytest.raises(DTypeError, match="path: expected a str or a path, got"):
        KVCache.load(wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_disk_that_is_full_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = in_every_mode()
    cache.save(path)
    before = path.read_bytes()
    advance(cache, 1)
    real = open
    monkeypatch.setattr(replacing, "open", lambda _, *args, **more: full(real), raising=False)
    with pytest.raises(OSError, match="No space left on device"):
        cache.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def full(opening: Any) -> Any:
    return opening("/dev/full", "wb", buffering=0)


def test_a_little_endian_file_is_not_written_by_another_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(Append(2))
    cache.save(path)
    monkeypatch.setattr(sys, "byteorder", "big")
    for call in (cache.save, KVCache.load):
        with pytest.raises(SnapshotError, match="little-endian"):
            call(path)
