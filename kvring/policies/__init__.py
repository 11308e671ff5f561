"""WHO gives way, layer by layer: the working half of :mod:`kvring.eviction`.

`residents` is the table of a layer with eviction (which position sits in which slot), `plans` are
the moves that can be entered into it, `trackers` remember what was attended to, and `victims`,
`lightest` and `own` choose: FIFO and LRU, heavy hitters, a policy of somebody's own. `weigh` reads
attention weights.
"""
