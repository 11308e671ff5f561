"""What threads need beyond single calls: a view that stays true, a step that is whole or undone."""

from __future__ import annotations

from _thread import RLock
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from ..checks import checked_layer, checked_order, checked_tokens
from ..errors import ShapeError
from ..forking import survives_fork
from ..readers import AllReaders, Reading, check_not_read_here, owned, this_thread_reads
from ..rows import LayerState, Order, per_batch_row
from ..strategy import Strategy, truncated
from ..view import KVView, make_view
from .resizing import ResizedCache
from .step import check_can_go_back
from .steps import Steps

if TYPE_CHECKING:
    from ..ring import RingBuffer

__all__ = ["SharedCache"]

Result = TypeVar("Result")


class SharedCache(ResizedCache):
    """The context managers of :class:`kvring.KVCache`."""

    _steps: tuple[Steps, ...]
    # What an update needs of its layer. The last is the list of those who read it.
    _layers: dict[int, tuple[RingBuffer, Steps, Lock, memoryview, list[Reading]]]

    def reading(
        self, layer: int, *, order: Order = "temporal"
    ) -> AbstractContextManager[KVView, None]:
        """A view of one layer that no writer disturbs: ``with cache.reading(layer) as view:``.

        Parameters
        ----------
        layer : int
            0 to ``layers - 1``.
        order : {"temporal", "physical"}, optional
            As in `read`.

        Returns
        -------
        context manager of KVView
            For one ``with``. Inside it the view is not stale, and its arrays stay as they are.

        Raises
        ------
        LayerError, DTypeError, ConfigError
            If there is no such layer, or no such order.
        LockError
            On entering, if it was entered before. Inside, from whatever would change the layer in
            the same thread. Nothing is changed.

        Notes
        -----
        Threads: any number read at the same time; who writes the layer waits for those who read
        when it comes, and later readers wait for it. Inside, the thread may do all that changes
        nothing, enter other readings, and write other layers; two threads that each read the layer
        the other one writes wait for ever. Cost: some 3 us.

        Examples
        --------
        >>> import numpy as np
        >>> from kvring import Append, KVCache
        >>> cache = KVCache(layers=1, kv_heads=1, head_dim=1, strategy=Append(4))
        >>> row = np.ones((1, 1, 1, 1), np.float32)
        >>> with cache.reading(0) as view:
        ...     cache.update(0, row, row)
        Traceback (most recent call last):
        kvring.errors.LockError: this thread reads a layer that the call would change, and so \
would wait for itself; leave `with cache.reading(...)` before
        """
        ring, steps, *_ = self._layers[checked_layer(layer, len(self._layers))]
        shown = checked_order(order)
        return Reading(ring.readers, lambda: make_view(ring, steps.look_at(ring.state), shown))

    @contextmanager
    def step(self, tokens: int = 1) -> Iterator[None]:
        """All layers advance together, or none: ``with cache.step(tokens=1):``.

        Parameters
        ----------
        tokens : int, tokens
            How many tokens each layer takes inside at most.

        Raises
        ------
        ConfigError
            On entering, if a layer could not take that many tokens back: it replaces its content,
            or would lack a row that the newest token before the step sees. Nothing is changed.
        CapacityError
            On entering, if a layer has no room for them. Nothing is changed.
        LockError
            On entering, if this thread reads a layer or is in a step of this cache; inside, from
            `truncate` and `reset`. Nothing is changed.
        DTypeError, ShapeError
            If `tokens` is no int, or less than 1; ShapeError at the end of the block, if some
            layers took other numbers of tokens than others: all are taken back.

        Notes
        -----
        Whatever exception leaves the block, every layer goes back to where the step began, by a
        truncate: views made inside are stale. Who takes more than `tokens` gets EvictedError when
        they cannot be taken back, and who is still inside a reading that was entered in the block
        gets LockError: the rows that it reads stay.

        Threads: steps of one cache follow each other, and `truncate`, `reset` and `copy` of other
        threads wait for the step's end. Updates and readers are not held off, so the layers of a
        step may be spread over threads. Cost: some us per layer; updates inside cost what they
        cost outside.
        """
        wanted = checked_tokens("tokens", tokens)
        if wanted < 1:
            raise ShapeError(f"tokens: expected a step of 1 or more, got {wanted}")
        self._check_no_step("begin another step")
        check_not_read_here(ring.readers for ring in self.rings)
        with self._turn:
            begun = self._once_unread(lambda: self._begun(wanted))
            try:
                yield
                self._check_in_step(begun)
            except BaseException:
                # No call between the two lines: the first interrupt of the way back has to wait.
                try:
                    self._take_back(begun)
                except KeyboardInterrupt:
                    self._take_back(begun)
                    raise
                raise

    def _reading_all(self, look: Callable[[], Result]) -> AbstractContextManager[Result, None]:
        """A reading of every layer, all at one moment between steps, with what `look` sees then."""

        def locked(go_in: Callable[[], Any]) -> Any:
            with nullcontext() if this_thread_reads() else self._turn:
                return self._holding_all_locks(go_in)

        return Reading(AllReaders([ring.readers for ring in self.rings], locked), look)

    def _begin_sharing(self) -> None:
        self._turn = RLock()
        self._tie_layers()
        survives_fork(self)

    def _tie_layers(self) -> None:
        tied = (
            (ring, steps, ring.lock, ring._written, ring.readers.inside)
            for ring, steps in zip(self.rings, self._steps, strict=True)
        )
        self._layers = dict(enumerate(tied))

    def _locks(self) -> list[Lock]:
        return []  # a step may last; its rows are those of updates

    def _after_fork(self) -> None:
        if not owned(self._turn):
            self._turn = RLock()
        self._tie_layers()

    def _begun(self, tokens: int) -> list[LayerState]:
        """The states before a step, if all layers can come back to them."""
        states = self._states()
        for layer, state in enumerate(states):
            check_can_go_back(self._strategies[layer], state, tokens, layer)
        return states

    def _check_in_step(self, begun: list[LayerState]) -> None:
        for batch_row in range(self.batch):
            taken = [
                now[batch_row].seq_len - per_batch_row(then, self.batch)[batch_row].seq_len
                for now, then in zip(self._per_batch_row(), begun, strict=True)
            ]
            if len(set(taken)) > 1:
                few = taken.index(min(taken))
                raise ShapeError(
                    f"layer {few} took {min(taken)} tokens in a step in which another took"
                    f" {max(taken)}; all layers are back where the step began"
                )

    def _take_back(self, begun: list[LayerState]) -> None:
        """Take back what came after `begun`; once more does no harm."""

        def back() -> None:
            if any(now is not then for now, then in zip(self._states(), begun, strict=True)):
                starts = iter(begun)
                self._settle_all(lambda *now: _back_to(next(starts), self.batch, *now))

        self._once_unread(back)


def _back_to(
    begun: LayerState, batch: int, strategy: Strategy, state: LayerState, epoch: int
) -> LayerState:
    both = list(zip(per_batch_row(begun, batch), per_batch_row(state, batch), strict=True))
    if all(now.seq_len <= then.seq_len for then, now in both):
        return state
    return truncated(strategy, state, [min(then.seq_len, now.seq_len) for then, now in both], epoch)
