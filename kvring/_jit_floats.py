"""Numbers inside kernels: what stored words mean, bits of floats, and a hint to the processor.

The second half of :mod:`kvring._jit`. Each function has two bodies: what Numba compiles, and a
plain Python twin for the run without jit. Numba has no float16 on the CPU and nobody has bfloat16,
so both travel as words of 16 bits, and the kind of the word says which: uint16 is a half, int16 a
bfloat16. LLVM turns the decoding of many into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

__all__ = [
    "bits_of",
    "fetch_ahead",
    "float32",
    "floats",
    "join_bits",
    "number",
    "stored_rows",
]

float32 = types.float32
_STORED: dict[str, Any] = {
    "float32": types.float32,
    "float16": types.uint16,
    "bfloat16": types.int16,
}


def stored_rows(dtype_name: str) -> types.Type:
    """The type of K or V whose elements a kernel decodes: 4-D, contiguous, read-only."""
    return types.Array(_STORED[dtype_name], 4, "C", readonly=True)


def floats(axes: int, *, any_strides: bool = False, readonly: bool = False) -> types.Type:
    """The type of a float32 array, contiguous unless it may have any strides."""
    if any_strides:
        return types.Array(types.float32, axes, "A", readonly=readonly)
    return types.Array(types.float32, axes, "C", readonly=readonly)


def number(word: Any) -> Any:
    """The float32 that a stored word means: itself, a half (uint16) or a bfloat16 (int16)."""
    if isinstance(word, np.uint16):
        return np.float32(word.view(np.float16))
    if isinstance(word, np.int16):
        return (np.uint32(word.view(np.uint16)) << np.uint32(16)).view(np.float32)
    return word


@overload(number)
def _number(word):  # type: ignore[no-untyped-def]
    meanings: dict[Any, Any] = {
        types.float32: lambda word: word,
        types.uint16: lambda word: _half(word),  # type: ignore
        types.int16: lambda word: _brain_float(word),  # type: ignore
    }
    return meanings[word]


@intrinsic
def _half(typing_context, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def _brain_float(typing_context, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = ir.IntType(32)
        upper = builder.shl(builder.zext(arguments[0], wide), ir.Constant(wide, 16))
        return builder.bitcast(upper, ir.FloatType())

    return types.float32(types.int16), generate


def bits_of(x: Any) -> Any:
    """The word of a float32, as int32."""
    return np.float32(x).view(np.int32)


@overload(bits_of)
def _bits_of(x):  # type: ignore[no-untyped-def]
    return lambda x: _as_int(x)  # type: ignore


def join_bits(word: Any) -> Any:
    """The float32 whose word is an int32."""
    return np.int32(word).view(np.float32)


@overload(join_bits)
def _join_bits(word):  # type: ignore[no-untyped-def]
    return lambda word: _as_float(word)  # type: ignore


@intrinsic
def _as_int(typing_context, x):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _as_float(typing_context, word):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def fetch_ahead(address: int) -> None:
    """Have the line at an address fetched, which will be read soon; it need not exist."""


@overload(fetch_ahead)
def _fetch_ahead(address):  # type: ignore[no-untyped-def]
    return lambda address: _prefetch(address)  # type: ignore


@intrinsic
def _prefetch(typing_context, address):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        fetch = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, kind, "llvm.prefetch.p0"
        )
        read_data_near = [ir.Constant(word, value) for value in (0, 3, 1)]
        builder.call(fetch, [builder.inttoptr(arguments[0], pointer), *read_data_near])
        return context.get_dummy_value()

    return types.none(types.int64), generate
