"""``kvring bench``, ``info``, ``warm-up`` and ``inspect``."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from kvring import LRU, Append, Circular, EvictionPolicy, KVCache, Replace
from kvring.bench import catalogue, session
from kvring.bench.rivals import ATTENTION, CACHES, OURS
from kvring.cli import terminal
from tests.bench.tiny import ATTENTION_CASES, CACHE_CASES
from tests.cli.running import run
from tests.support import ROOT, make_rows

JIT = not __import__("numba").config.DISABLE_JIT


@pytest.fixture
def tiny(monkeypatch):
    """Few cases, which take no time; the rest stays as it is."""
    some = [*CACHE_CASES[:4], CACHE_CASES[5], ATTENTION_CASES[0]]
    monkeypatch.setattr(catalogue, "cases", lambda quick=False: some[:4] if quick else some)
    light = (OURS, "np.concatenate", "np.roll", "bare slices", "plain read", "HF StaticCache")
    for known, rivals in (("CACHES", CACHES), ("ATTENTION", ATTENTION)):
        monkeypatch.setattr(session, known, {n: rivals[n] for n in light if n in rivals})


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("rich", [True, False], ids=["rich", "plain"])
def test_a_benchmark_is_a_table_for_each_case_and_says_who_was_left_out(rich, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "has_rich", lambda: rich)
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    code, out, _ = run(capsys, "bench", "--seconds", "0.01")
    assert code == 0
    assert out.count("times kvring") == 4
    assert "update: 40 tokens, append\n" in out
    assert "np.concatenate" in out
    assert "left out: HF StaticCache (needs torch" in out
    assert "4 cases in" in out


@pytest.mark.usefixtures("tiny")
def test_operations_that_the_short_run_leaves_out_can_be_asked_for(capsys):
    _, out, _ = run(capsys, "bench", "--seconds", "0.01", "--only", "prefill", "chunk")
    assert "prefill: 40 tokens" in out
    assert out.count("times kvring") == 2
    assert "update:" not in out


@pytest.mark.usefixtures("tiny")
def test_a_rival_of_ones_own_takes_part(capsys):
    mine = "kvring.bench.rivals.concatenate:Concatenating"
    _, out, _ = run(
        capsys, "bench", "--seconds", "0.01", "--only", "update", "--rival", mine, "--json"
    )
    records = json.loads(out)["records"]
    assert {record["rival"] for record in records} >= {OURS, mine}
    ours = next(record for record in records if record["rival"] == OURS)
    assert ours["ratio"] == 1
    assert ours["value"] > 0


def test_a_rival_that_is_not_there_is_an_error_of_use(capsys):
    code, out, err = run(capsys, "bench", "--rival", "no_such_module:Cache")
    assert (code, out) == (2, "")
    assert "kvring bench: --rival: 'no_such_module:Cache': there is no module" in err


def test_info_says_what_is_compiled_and_where(capsys, monkeypatch):
    run(capsys, "warm-up", "float16")
    code, out, _ = run(capsys, "info", "--json")
    assert code == 0
    found = json.loads(out)
    ready = {(k["name"], k["for"], k["releases_gil"]) for k in found["kernels"] if k["on_disk"]}
    assert (("put_row", "16 bits", False) in ready) is JIT
    assert (found["cache"]["files"] > 0) is JIT
    assert found["needed"]["numpy"] == np.__version__
    assert len(found["kernels"]) == 12 + 4 + 8 + 8 + 3
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(capsys, "info")[1]
    free = ("settings", "also here", "not here")  # as long as what there is to tell
    assert max(len(line) for line in shown.splitlines() if not line.startswith(free)) <= 110
    assert "put_row" in shown
    assert ("none: kernels are compiled anew" in shown) is not JIT


def test_a_kernel_counts_as_compiled_only_in_the_folder_that_is_used(capsys, monkeypatch, tmp_path):
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    found = json.loads(run(capsys, "info", "--json")[1])
    assert not any(kernel["on_disk"] for kernel in found["kernels"])


def test_warm_up_counts_its_kernels(capsys):
    assert "4 kernels ready in" in run(capsys, "warm-up", "int8")[1]
    code, out, _ = run(capsys, "warm-up", "int8", "--json")
    assert code == 0
    assert json.loads(out)["kernels"] == [
        "put_row, 8 bits",
        "put_rows, 8 bits",
        "put_rows, 8 bits, releasing the GIL",
        "put_assembled, 8 bits, releasing the GIL",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flaot16"], "got 'flaot16'; did you mean 'float16'?"),
        (["complex256"], "expected a numeric dtype of 1, 2, 4 or 8 bytes"),
        (["int8", "--attention"], "attention: expected one of float32"),
    ],
)
def test_warm_up_says_which_dtypes_there_are(arguments, words, capsys):
    code, out, err = run(capsys, "warm-up", *arguments)
    assert (code, out) == (2, "")
    assert words in err


@pytest.fixture
def saved(tmp_path):
    """A file, and the cache that is in it."""
    modes = [Circular(4, 1, 2), Circular(4, 1, 2), Append(6, eviction=LRU(), sink_tokens=1)]
    cache = KVCache(layers=5, kv_heads=2, head_dim=4, strategy=[*modes, Append(20), Replace(3)])
    for position in range(12):
        for layer in range(5):
            cache.update(layer, *make_rows(cache.config, layer, position, 1))
    cache.pin([10])
    cache.check()
    cache.save(tmp_path / "saved.kv")
    return tmp_path / "saved.kv", cache


def test_a_saved_cache_is_told_without_being_loaded(saved, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run(capsys, "inspect", saved[0])
    assert code == 0
    assert "5 layers, 1 batch row, kv_heads x head_dim 2 x 4, float32, BSHD" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    ring = "Circular(window=4, sink_tokens=1, rollback_tokens=2)"
    assert f"0-1 0 {ring} 12 7 0, 6-11" in lines
    assert "2 0 Append(capacity=6, sink_tokens=1, eviction=LRU) 12 6 0, 7-11; pinned 10" in lines
    assert "3 0 Append(capacity=20) 12 12 0-11" in lines
    assert "4 0 Replace(capacity=3) 1 1 0" in lines


def test_data_of_a_saved_cache_is_what_the_cache_says(saved, capsys):
    path, cache = saved
    code, out, _ = run(capsys, "inspect", path, "--verify", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["verified"] is True
    assert data["nbytes"] == path.stat().st_size
    for number, layer in enumerate(data["layers"]):
        assert layer["seq_lens"] == cache.seq_lens[number].tolist()
        assert layer["positions"] == [cache.positions(number).tolist()]
    assert data["layers"][2]["pinned"] == [10]


def test_every_changed_byte_is_found_by_verify(saved, capsys):
    path, _ = saved
    whole = path.read_bytes()
    assert run(capsys, "inspect", path, "--verify")[0] == 0
    for place in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        code, out, err = run(capsys, "inspect", path, "--verify")
        assert (code, out) == (2, ""), place
        assert err.startswith(f"kvring inspect: {path}: ")
        assert err.count("\n") == 1


def test_a_file_cut_short_is_found_without_verify(saved, capsys):
    path, _ = saved
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert run(capsys, "inspect", path)[0] == 2


def safetensors(metadata, *, first="checksums"):
    """A file of that format which kvring has not written."""
    tensor = {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}
    header = json.dumps({"__metadata__": metadata, first: tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"format": "pt"}, "expected a cache saved by kvring, got a file of format 'pt'"),
        ({"format": "kvring", "version": "9"}, "version '9' of the format, expected 1"),
        ({"format": "kvring", "version": "1"}, "the checksum of the header is another"),
    ],
)
def test_a_file_of_others_says_what_it_is(metadata, words, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(metadata))
    code, _, err = run(capsys, "inspect", path)
    assert code == 2
    assert words in err
    path.write_bytes(safetensors({"format": "kvring", "version": "1"}, first="weights"))
    assert "expected checksums first" in run(capsys, "inspect", path)[2]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (ROOT / "setup.cfg", "this is no file of kvring, or it is damaged"),
        (ROOT / "tests", "expected a file, got a folder"),
        ("/dev/null", "expected a file, got a folder, a device or a pipe"),
        ("/no/such/file", "No such file or directory"),
    ],
)
def test_what_is_no_saved_cache_says_so(path, words, capsys):
    code, out, err = run(capsys, "inspect", path)
    assert (code, out) == (2, "")
    assert words in err


def test_a_policy_of_ones_own_need_not_be_there(tmp_path, capsys):
    class Oldest(EvictionPolicy):
        def victims(self, candidates, count):
            return candidates[:count]

        def to_bytes(self):
            return b"something"

        def from_bytes(self, data):
            raise AssertionError("nobody asked for the cache")

    mode = Append(4, eviction=Oldest())
    cache = KVCache(layers=1, kv_heads=1, head_dim=1, batch=2, strategy=mode)
    rows = np.zeros((2, 6, 1, 1), np.float32)
    cache.update(0, rows[:, :4], rows[:, :4])
    cache.save(tmp_path / "own.kv")
    _, out, _ = run(capsys, "inspect", tmp_path / "own.kv")
    assert "eviction=Oldest" in " ".join(out.split())
    assert "0-3" in out
