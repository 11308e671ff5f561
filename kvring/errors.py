"""Every error kvring raises, each also the built-in one that callers would expect.

::

    KVRingError
    ├── ConfigError      (ValueError)    an argument that makes no cache, or names no option
    ├── ShapeError       (ValueError)    keys or values of the wrong shape or row count
    ├── DTypeError       (TypeError)     wrong dtype, byte order or Python type in a call
    ├── LayerError       (IndexError)    there is no such layer
    ├── CapacityError    (OverflowError) more rows than there are slots
    ├── PositionError    (IndexError)    there is no such position
    │   └── EvictedError                 the position was there, its row is gone
    ├── PolicyError      (ValueError)    eviction: no policy, a wrong answer of one, wrong weights
    ├── StaleViewError   (RuntimeError)  the layer has changed since the view was made
    ├── LockError        (RuntimeError)  the call would wait for its own thread
    ├── SnapshotError    (ValueError)    a file that is no saved cache, or a cache that makes none
    ├── LeaseError       (TimeoutError)  a pool's sequence is on lease, or not on lease any more
    └── BudgetError      (MemoryError)   rows would not fit in a pool's budget

A message says what was wrong, what was expected, what came and what to do about it. A call that
raises one of these has changed nothing.
"""

__all__ = [
    "BudgetError",
    "CapacityError",
    "ConfigError",
    "DTypeError",
    "EvictedError",
    "KVRingError",
    "LayerError",
    "LeaseError",
    "LockError",
    "PolicyError",
    "PositionError",
    "ShapeError",
    "SnapshotError",
    "StaleViewError",
]


class KVRingError(Exception):
    """The base of all errors of kvring: ``except KVRingError`` catches every one of them."""


class ConfigError(KVRingError, ValueError):
    """A constructor got an argument from which no cache can be built, or a call no such option."""


class ShapeError(KVRingError, ValueError):
    """Keys or values have the wrong shape, or a row count that does not fit the call."""


class DTypeError(KVRingError, TypeError):
    """An argument of a call has the wrong dtype, byte order or Python type."""


class LayerError(KVRingError, IndexError):
    """The cache has no layer of that number."""


class CapacityError(KVRingError, OverflowError):
    """An update brings more rows than the layer has slots for."""


class PositionError(KVRingError, IndexError):
    """The sequence has no such position."""


class EvictedError(PositionError):
    """A position that the call needs was written once, and its row is gone."""


class PolicyError(KVRingError, ValueError):
    """A layer has no eviction policy, a policy gave a wrong answer, or was to be told nonsense."""


class StaleViewError(KVRingError, RuntimeError):
    """The layer has changed since the view was made, so its rows may be other tokens by now."""


class LockError(KVRingError, RuntimeError):
    """The call would wait for something that its own thread holds, and so for ever."""


class SnapshotError(KVRingError, ValueError):
    """A file holds no cache that was saved, whole and undamaged; or a cache cannot be described."""


class LeaseError(KVRingError, TimeoutError):
    """A sequence of a pool could not be had: somebody else has it, or the lease is over."""


class BudgetError(KVRingError, MemoryError):
    """Rows would take more memory than a pool may commit, and nothing could give way."""
