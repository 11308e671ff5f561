"""Rivals that ship with kvring, each in a small file that imports its library when it is built.

`CACHES` follow `kvring.bench.rival`; `ATTENTION` follow `kvring.bench.attention_rival`.
"""

from __future__ import annotations

__all__ = ["ATTENTION", "CACHES", "OURS"]

_HERE = "kvring.bench.rivals."

# What every ratio is taken to.
OURS = "kvring"

CACHES = {
    OURS: _HERE + "ours:Ours",
    "kvring, huge pages": _HERE + "ours:HugePages",
    "bare slices": _HERE + "slices:Slices",
    "np.concatenate": _HERE + "concatenate:Concatenating",
    "np.roll": _HERE + "roll:Rolling",
    "dvg-ringbuffer": _HERE + "dvg:Dvg",
    "HF DynamicCache": _HERE + "hf_dynamic:Dynamic",
    "HF StaticCache": _HERE + "hf_static:Static",
    "HF dynamic sliding": _HERE + "hf_sliding:DynamicSliding",
    "HF static sliding": _HERE + "hf_sliding:StaticSliding",
    "mlx KVCache": _HERE + "mlx_caches:Growing",
    "mlx RotatingKVCache": _HERE + "mlx_caches:Rotating",
}

ATTENTION = {
    OURS: _HERE + "attend_in_place:AttendInPlace",
    "plain read": _HERE + "plain_read:PlainRead",
    "torch SDPA, folded": _HERE + "torch_sdpa:Folded",
    "torch SDPA, enable_gqa": _HERE + "torch_sdpa:EnableGqa",
    "NumPy, matmul per KV head": _HERE + "numpy_matmul:PerHead",
    "onnxruntime GQA": _HERE + "onnx_gqa:GroupQuery",
}
