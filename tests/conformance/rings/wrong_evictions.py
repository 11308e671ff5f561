"""Wrong: who gives way in a full layer, and what is asked of it afterwards."""

from dataclasses import replace

from tests.conformance.rings.evicting import FORGETTING, Evicting, EvictingSequence
from tests.conformance.rings.planted import planted

SEEN = ("missing", "resurrected", "stale")  # another row than the contract's is there


@planted(*SEEN, steps=4)
class TiesGoToTheNewest(Evicting):
    """Of rows that are alike the newest gives way."""

    class sequence(EvictingSequence):  # noqa: N801
        def victim_key(self, position, seq_len):
            *alike, _ = super().victim_key(position, seq_len)
            return (*alike, -position) if alike else (position,)


@planted(*SEEN, "accepted", "refused", steps=5)
class PinsIgnored(Evicting):
    """Pinned rows may give way like any other."""

    class sequence(EvictingSequence):  # noqa: N801
        def guarded(self, position):
            return position < self.sink_tokens


@planted(*SEEN, steps=3)
class OneTooManyGoes(Evicting):
    """A chunk makes room for one row more than it brings."""

    class sequence(EvictingSequence):  # noqa: N801
        def make_room(self, count):
            super().make_room(count + (count > 1 and len(self.rows) + count > self.capacity))


@planted("accepted", steps=4)
class TruncatesBelowTheFloor(Evicting):
    """Truncate goes back to where rows would be needed that have given way."""

    def truncate(self, seq_len):
        for sequence in self.all():
            sequence.floor = 0
        super().truncate(seq_len)


@planted(*SEEN, steps=5)
class TouchIgnored(Evicting):
    """LRU hears of weights alone."""

    supports = replace(FORGETTING, evictions=("lru",))

    def touch(self, layer, positions):
        self.known(positions, slice(layer, layer + 1))


@planted(*SEEN, steps=5)
class WeightsIgnored(Evicting):
    """What queries gave to rows makes no difference."""

    supports = replace(FORGETTING, evictions=("heavy_hitter",))

    def observe(self, layer, weights):
        for sequence in self.known([], slice(layer, layer + 1)):
            sequence.clock += 1
