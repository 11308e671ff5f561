"""Whether a layer can go back to where a step begins."""

from __future__ import annotations

from ..errors import ConfigError
from ..rows import LayerState, State, states_of
from ..strategy import Strategy

__all__ = ["check_can_go_back"]


def check_can_go_back(strategy: Strategy, state: LayerState, tokens: int, layer: int) -> None:
    """Raise unless `tokens` more tokens fit, and can be taken back once they are there.

    In every batch row, where they differ.

    With window W, a ring of W + R slots behind the sinks, and n tokens before: the token n - 1 sees
    position n - W, and after t more tokens the oldest one there is n + t - W - R. So R must be t or
    more, unless the ring has not come round by then.

    Raises
    ------
    ConfigError
        If the layer replaces its content, would lack a row, or would have rows evicted.
    CapacityError
        If the tokens do not fit.
    """
    if strategy.replaces:
        raise ConfigError(
            f"layer {layer} replaces its content at every update, so no step of it can be taken"
            f" back; use Append or Circular"
        )
    for one in states_of(state):
        _check_batch_row(strategy, one, tokens, layer)


def _check_batch_row(strategy: Strategy, state: State, tokens: int, layer: int) -> None:
    if strategy.evicts and state.length + tokens > strategy.capacity:
        raise ConfigError(
            f"layer {layer} could not take back a step of {tokens} tokens: its eviction policy"
            f" would have rows give way, of {state.length} in {strategy.capacity} slots; evict them"
            f" before the step, or use a larger capacity"
        )
    before = state.seq_len
    after = strategy.advance(state, tokens)
    needed = strategy.seen_from(before - 1)
    if before > strategy.sink_tokens and needed < strategy.first(after):
        raise ConfigError(
            f"layer {layer} could not take back a step of {tokens} tokens: position {needed}, which"
            f" position {before - 1} sees, would be gone; use rollback_tokens >= {tokens}"
        )
