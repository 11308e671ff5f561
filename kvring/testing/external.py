"""Programs in any language as backends: what they answer, turned into observations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..dtypes import checked_dtype
from .answers import masks, numbers, planes, positions
from .observations import Logits, Outputs, Rows, Slots, UnsupportedError
from .program import CONTRACT, Program
from .script import program_snippet
from .setup import Setup
from .supports import Supports

__all__ = ["ProgramBackend", "ProgramFactory"]


class ProgramFactory:
    """Makes backends of a program that is started with `command`.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    seconds : float
        How long one operation may take.

    Raises
    ------
    OSError
        If the program cannot be started.
    BackendBrokeError, ConfigError
        If it does not say hello, or declares what does not exist.
    """

    def __init__(self, command: list[str], seconds: float = 10.0) -> None:
        self.program = Program(command, seconds)
        self._caches = 0
        hello = self.program.ask({"op": "hello", "contract": CONTRACT})
        self.name = str(hello.get("name", command[0]))
        declared = Supports.of(hello.get("supports"))
        # JSON has no NaN payloads, and its numbers have no dtype.
        self.supports = replace(declared, special_values=False)

    def __call__(self, setup: Setup) -> ProgramBackend:
        """Cache 0, afresh: a new history begins, and no cache of an older one is used again."""
        self._caches = 0
        self.program.transcript.clear()
        return self.beside(setup)

    def beside(self, setup: Setup) -> ProgramBackend:
        """One more cache in the same history."""
        backend = self.numbered(setup)
        backend.ask("setup", config=setup.to_json())
        return backend

    def numbered(self, setup: Setup) -> ProgramBackend:
        """A number for one more cache, which the program has yet to hear of."""
        self._caches += 1
        return ProgramBackend(self, setup, self._caches - 1)

    def close(self) -> None:
        """End the program."""
        self.program.close()


class ProgramBackend:
    """One cache in a program, behind the adapter's methods.

    Parameters
    ----------
    factory : ProgramFactory
        Whose program it is.
    setup : Setup
        What the cache is built for.
    number : int
        What the program is to call it.
    """

    def __init__(self, factory: ProgramFactory, setup: Setup, number: int) -> None:
        self.factory = factory
        self.setup = setup
        self.number = number
        self._counters: dict[str, Any] = {}

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One request about this cache."""
        request = {"op": operation, "cache": self.number, **arguments}
        answer = self.factory.program.ask(request)
        counters = ("seq_lens", "next_positions")
        self._counters = {name: answer[name] for name in counters if name in answer}
        return answer

    def update(self, *arguments: Any, **options: Any) -> Any:
        """New tokens, in whatever form the declared kind of observation has."""
        observes = self.factory.supports.observes
        given = [_plain(a) if isinstance(a, np.ndarray) else a for a in arguments]
        names = {
            "rows": ("layer", "keys", "values"),
            "slots": ("layer", "token_counts"),
            "outputs": ("layer", "queries", "keys", "values"),
            "logits": ("token_ids",),
        }[observes]
        # Slots have token_counts in any case, and a ragged update names them once more.
        answer = self.ask("update", **{**dict(zip(names, given, strict=True)), **options})
        return self._seen(answer)

    def read(self, layer: int) -> Any:
        """What the newest token sees."""
        return self._seen(self.ask("read", layer=layer))

    def uncached(self, token_ids: Any, mask: Any) -> Any:
        """Logits of the model without a cache."""
        answer = self.ask("uncached", token_ids=token_ids.tolist(), mask=mask.tolist())
        return self._array(answer, "logits")

    def truncate(self, seq_len: Any) -> None:
        """Drop the newest tokens."""
        self.ask("truncate", seq_len=seq_len)

    def reset(self) -> None:
        """Forget everything."""
        self.ask("reset")

    def save_and_load(self) -> ProgramBackend:
        """Save, load, and go on with what was loaded."""
        self.ask("save")
        return self

    def copy(self) -> ProgramBackend:
        """One more cache in the program, with the same content."""
        twin = self.factory.numbered(self.setup)
        self.ask("copy", into=twin.number)
        twin._counters = dict(self._counters)
        return twin

    def reorder(self, batch_rows: list[int]) -> None:
        """Batch row i becomes what batch row ``batch_rows[i]`` was."""
        self.ask("reorder", batch_rows=batch_rows)

    def select(self, batch_rows: list[int]) -> None:
        """Keep these batch rows."""
        self.ask("select", batch_rows=batch_rows)

    def repeat(self, times: int) -> None:
        """Every batch row several times, side by side."""
        self.ask("repeat", times=times)

    def add_batch_rows(self, other: ProgramBackend) -> None:
        """Append the batch rows of another cache."""
        self.ask("add_batch_rows", other=other.number)

    def resize(self, **numbers: int) -> None:
        """Other numbers of slots for what is there."""
        self.ask("resize", **numbers)

    def seq_len(self, layer: int) -> Any:
        """What the newest answer said, if it said anything."""
        return self._counter("seq_lens", layer)

    def next_position(self, layer: int) -> Any:
        """What the newest answer said, if it said anything."""
        return self._counter("next_positions", layer)

    def snippet(self) -> str:
        """A script that sends the program the same lines again."""
        return program_snippet(self.factory.program.command, self.factory.program.transcript)

    def _counter(self, name: str, layer: int) -> Any:
        if name not in self._counters:
            raise UnsupportedError(f"no answer had {name}")
        of_layers = self._counters[name]
        if not isinstance(of_layers, list) or len(of_layers) <= layer:
            wanted = f"expected one list for each of {self.setup.layers} layers"
            raise self.factory.program.nonsense(
                f"{name} cannot be read: {wanted}, got {of_layers!r}"
            )
        return of_layers[layer]

    def _seen(self, answer: dict[str, Any]) -> Any:
        observes = self.factory.supports.observes
        if observes == "slots":
            copied = self._get(answer, "copied") if "copied" in answer else ()
            return Slots(self._get(answer, "written"), self._get(answer, "visible"), copied)
        if observes == "outputs":
            return Outputs(self._array(answer, "outputs"))
        if observes == "logits":
            return Logits(self._array(answer, "logits"))
        keys = self._planes(answer, "keys", self.setup.head_dim)
        values = self._planes(answer, "values", self.setup.value_dim)
        axis = 0 if self.setup.layout == "BSHD" else 1
        mask, places = answer.get("mask"), answer.get("positions")
        if mask is not None:
            rows = [plane.shape[axis] for plane in keys]
            mask = self._read(lambda: masks(answer["mask"], rows), "mask")
        if places is not None:
            places = self._read(lambda: positions(answer["positions"], len(keys)), "positions")
        return Rows(keys, values, mask, places)

    def _planes(self, answer: dict[str, Any], name: str, dim: int) -> list[Any]:
        """One array per batch row: the numbers of rows may differ."""
        given, dtype = self._get(answer, name), checked_dtype(self.setup.dtype)
        kv_heads = self.setup.kv_heads
        empty = (0, kv_heads, dim) if self.setup.layout == "BSHD" else (kv_heads, 0, dim)
        return self._read(lambda: planes(given, empty, dtype), name)  # type: ignore[no-any-return]

    def _array(self, answer: dict[str, Any], name: str) -> Any:
        given = self._get(answer, name)
        return self._read(lambda: numbers(given).astype(np.float64), name)

    def _get(self, answer: dict[str, Any], name: str) -> Any:
        if not isinstance(answer.get(name), list):
            raise self.factory.program.nonsense(f"the answer has no list {name!r}")
        return answer[name]

    def _read(self, convert: Callable[[], Any], name: str) -> Any:
        try:
            return convert()
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            raise self.factory.program.nonsense(f"{name} cannot be read: {error}") from None


def _plain(array: Any) -> Any:
    """Nested lists, of integers where all numbers are."""
    numbers = array.astype(np.float64)
    whole = numbers.astype(np.int64)
    return (whole if (whole == numbers).all() else numbers).tolist()
