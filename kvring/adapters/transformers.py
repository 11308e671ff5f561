"""A cache for ``generate`` of Hugging Face transformers, on the CPU.

::

    from kvring.adapters.transformers import RingCache

    model.generate(**inputs, cache=RingCache(model.config))  # past_key_values= before release 5.24

Importing this module also makes ``attn_implementation="kvring"`` known to transformers: attention
that reads the ring in place. Tested with transformers 5.0 to 5.24; needs the extra `transformers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import torch
    import transformers  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"kvring.adapters.transformers needs torch and transformers ({error}); use"
        f" pip install torch, then pip install '.[transformers]' in a checkout"
    ) from error

from ..attention.checks import name_of
from ..compiling import ATTENDED
from ..errors import ConfigError, ShapeError
from ..strategy import strategy_for
from .hf_attention import NAME, register
from .hf_columns import Columns
from .hf_config import capacity_of, kinds_of, modes_of
from .hf_rings import Widths, new_rings, wider_rings, widths_of
from .hf_whole import DRAFT_TOKENS, MOST_DRAFT_TOKENS, WholeRingCache
from .tensors import array_of, tensor_of

if TYPE_CHECKING:
    from ..cache import KVCache
    from ..rows import Order, Rows

__all__ = ["RingCache"]

register()

# Whose masks can follow slot order: see Columns.
FOLLOWING = ("eager", "sdpa", NAME)
ROLLBACK_TOKENS = 32


class RingCache(WholeRingCache):
    """Keys and values of a model in the rings of a :class:`kvring.KVCache`.

    Parameters
    ----------
    config : PreTrainedConfig
        `model.config`: it says how many layers there are and which of them have a window.
    capacity : int, tokens, optional
        What to reserve for layers that see everything; `max_position_embeddings` by default.
        Memory is committed as tokens come.
    window : int, tokens, optional
        A window for layers that would see everything: older tokens are forgotten.
    sink_tokens : int, tokens, optional
        First tokens that layers with a window never forget.
    rollback_tokens : int, tokens, optional
        How many tokens `crop` can take back in a layer with a window that has wrapped. Assisted
        generation raises it by itself, to 128 and more.

    Attributes
    ----------
    rings : KVCache or None
        The rings, in layout BHSD; None before the first update.

    Raises
    ------
    ConfigError
        If the numbers make no cache; if a layer of the model keeps something else than keys and
        values; if there are sinks, or a window that the model knows nothing of, and the model's
        attention is not "kvring".

    Notes
    -----
    Batch size, dtype and widths come from the first update, and from the first one after `reset`.
    Tensors that `update` returns are windows on the ring: good until the next update of their
    layer, and not to be written to. Rows of layers with a window come in slot order where the mask
    can follow, so at most steps nothing is copied; if `get_mask_sizes` was not asked, they come
    oldest first. Gradients do not flow through the cache.

    Threads: as of :class:`kvring.KVCache`; one `generate` at a time.
    """

    def __init__(
        self,
        config: Any,
        *,
        capacity: int | None = None,
        window: int | None = None,
        sink_tokens: int = 0,
        rollback_tokens: int = ROLLBACK_TOKENS,
    ) -> None:
        self.config = config.get_text_config(decoder=True)
        kinds = kinds_of(self.config)
        stored = [kind for kind in kinds if kind.is_stored]
        reserved = capacity_of(self.config, capacity)
        modes = modes_of(stored, reserved, window, sink_tokens, rollback_tokens)
        self._unknown_to_masks = f"sink_tokens={sink_tokens}" if sink_tokens else ""
        if window is not None and not sink_tokens:
            self._unknown_to_masks = f"window={window}"
        self._order_for_masks()
        self._order: Order = "temporal"
        self._is_attended = False
        super().__init__(kinds, modes)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new rows of one layer and return those that their queries need.

        Parameters
        ----------
        key_states, value_states : tensor ``(batch, kv_heads, tokens, dim)``
            On the CPU, in float32, bfloat16, float16 or float64, any strides.
        layer_idx : int
            Which of the model's layers.

        Returns
        -------
        tensor, tensor ``(batch, kv_heads, rows, dim)``
            Rows in the order that `get_mask_sizes` has promised for this step, or oldest first.

        Raises
        ------
        CapacityError
            If the tokens do not fit. Nothing is written.
        ShapeError, DTypeError, ConfigError
            If the tensors do not fit the cache, or are not on the CPU. Nothing is written.
        """
        place, rows = self._places[layer_idx], (array_of(key_states), array_of(value_states))
        rings = self.prepare(key_states, value_states) if self._is_new else self.rings
        assert rings is not None, "prepared"
        try:
            view = rings.update(place, *rows, order=self._order)
        except ShapeError:
            rings = self._with_wider_layer(place, widths_of(key_states, value_states))
            if rings is None:
                raise
            view = rings.update(place, *rows, order=self._order)
        self._is_new = False
        if place == len(self._modes) - 1:
            self._order = "temporal"  # until a mask is asked for again
        keys, values = view
        shown = tensor_of(keys)
        if self._is_attended:
            shown.kvring_view = view
        return shown, tensor_of(values)

    def get_mask_sizes(self, query_length: Any, layer_idx: int = 0) -> tuple[int, int]:
        """Columns of the mask for so many new tokens, and the position of the first one.

        Where the rows will not come in the order of their positions, the second is an int that
        says so when mask functions add it to the columns' numbers.
        """
        tokens = query_length if isinstance(query_length, int) else len(query_length)
        self._order = self._order_for_masks()
        if self._drafted_from is not None and self.get_seq_length():
            drafts = self.get_seq_length() + tokens - self._drafted_from
            if DRAFT_TOKENS < drafts <= MOST_DRAFT_TOKENS:
                self._make_rollback(2 * drafts)
        rows = self._rows_after(max(self._places[layer_idx], 0), tokens)
        columns = Columns(rows, self._kinds[layer_idx])
        plain = self.config._attn_implementation != NAME and columns.are_consecutive
        return rows.count, int(columns) if plain else columns

    def prepare(self, key_states: torch.Tensor, value_states: torch.Tensor) -> KVCache:
        """Reserve memory for rows like these, unless there is such memory already."""
        widths = widths_of(key_states, value_states)
        self.rings = new_rings(self.rings, self._modes, key_states, widths)
        self._is_attended = name_of(self.rings.dtype) in ATTENDED
        return self.rings

    def rows(self, layer_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values that a layer's newest token sees, oldest first; a copy once wrapped."""
        assert self.rings is not None, "asked after the first update"
        keys, values = self.rings.read(self._places[layer_idx])
        return tensor_of(keys), tensor_of(values)

    def _order_for_masks(self) -> Order:
        """The order of rows that the model's masks can follow, if they can follow these at all."""
        attention = self.config._attn_implementation
        if self._unknown_to_masks and attention != NAME:
            raise ConfigError(
                f"{self._unknown_to_masks}: expected attention {NAME!r}, got {attention!r}, whose"
                f" masks know nothing of it; call model.set_attn_implementation({NAME!r}) first, or"
                f" load the model with attn_implementation={NAME!r}"
            )
        return "physical" if attention in FOLLOWING else "temporal"

    def _rows_after(self, place: int, tokens: int) -> Rows:
        """What the next update of so many tokens will show."""
        if self.rings is None:
            strategy = strategy_for(self._modes[place], 1)
            plan = strategy.plan(strategy.start(), tokens)
        else:
            plan = self.rings._steps[place].plan_for(self.rings.rings[place].state, tokens)
        return plan.rows(self._order)

    def _with_wider_layer(self, place: int, widths: Widths) -> KVCache | None:
        """The rings for a model whose layers are not alike, when the first other layer comes."""
        rings = self.rings
        assert rings is not None, "prepared"
        of = rings.config.layers[place]
        if rings.seq_lens[place].any() or widths == (of.kv_heads, of.head_dim, of.value_dim):
            return None
        self.rings = wider_rings(rings, place, widths)
        return self.rings
