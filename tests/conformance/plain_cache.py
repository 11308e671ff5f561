"""A cache and a runner written from the README of the vectors alone, with nothing of kvring."""


class RefusedError(Exception):
    """As the README names it."""


class PlainCache:
    """A cache on slots, and what its README says of each step, with nothing taken from kvring."""

    def __init__(self, config, batch=None):
        self.modes = config["strategies"]
        batch = batch or config["batch"]
        self.slots = [[{} for _ in range(batch)] for _ in self.modes]  # slot: (position, id)
        self.lens = [[0] * batch for _ in self.modes]

    def slot(self, layer, position):
        mode = self.modes[layer]
        sink_tokens = mode.get("sink_tokens", 0)
        if mode["mode"] != "circular" or position < sink_tokens:
            return position
        ring = mode["window"] + mode["rollback_tokens"]
        return sink_tokens + (position - sink_tokens) % ring

    def visible(self, layer, position):
        mode = self.modes[layer]
        seen = range(position + 1)
        if mode["mode"] == "circular":
            first = position - mode["window"] + 1
            return [p for p in seen if p < mode["sink_tokens"] or p >= first]
        return list(seen)

    def look(self, layer, batch_row):
        newest, slots = self.lens[layer][batch_row] - 1, self.slots[layer][batch_row]
        return [list(slots[self.slot(layer, p)]) for p in self.visible(layer, newest)]

    def read(self, layer):
        lens = self.lens[layer]
        return [[self.look(layer, b)] if length else [] for b, length in enumerate(lens)]

    def update(self, layer, ids):
        mode, lens = self.modes[layer], self.lens[layer]
        if mode["mode"] == "replace":
            lens = [0] * len(ids)
        for length, new in zip(lens, ids, strict=True):
            if mode["mode"] != "circular" and length + len(new) > mode["capacity"]:
                raise RefusedError("CapacityError")
        self.lens[layer], seen = list(lens), []
        for batch_row, new in enumerate(ids):
            seen.append([])
            for token in new:
                position = self.lens[layer][batch_row]
                self.slots[layer][batch_row][self.slot(layer, position)] = (position, token)
                self.lens[layer][batch_row] += 1
                seen[-1].append(self.look(layer, batch_row))
        return seen

    def truncate(self, totals):
        for layer in range(len(self.modes)):
            if not all(0 <= n <= have for n, have in zip(totals, self.lens[layer], strict=True)):
                raise RefusedError("PositionError")
        for layer in range(len(self.modes)):
            for n, slots in zip(totals, self.slots[layer], strict=True):
                needed = self.visible(layer, n - 1)
                if any(slots.get(self.slot(layer, p), (-1,))[0] != p for p in needed):
                    raise RefusedError("EvictedError")
        self.lens = [list(totals) for _ in self.modes]

    def total(self, layer, ids, n, history):
        """Law 6, for one batch row."""
        before, given = self.lens[layer][0], len(ids) + (self.lens[layer][0] if history else 0)
        if self.modes[layer]["mode"] == "replace":
            if given != n:
                raise RefusedError("ShapeError")
            return self.update(layer, [ids])
        if n < before and not given:
            self.truncate([n])
        elif n < before or n - given not in (0, before) or (n == before and given not in (0, n)):
            raise RefusedError("ShapeError")
        return self.update(layer, [ids]) if ids else self.read(layer)

    def resize(self, numbers):
        """Rule 12."""
        modes = [{k: numbers.get(k, v) for k, v in mode.items()} for mode in self.modes]
        held = [
            [{p: i for p, i in slots.values() if p < n} for slots, n in zip(*of)]
            for of in zip(self.slots, self.lens)
        ]
        for old, mode, rows, lens in zip(self.modes, modes, held, self.lens):
            for row, n in zip(rows, lens):
                if len(row) > mode.get("capacity", len(row)):
                    raise RefusedError("CapacityError")
                if mode.get("window", 0) > old.get("window", 0) and len(row) < n:
                    raise RefusedError("EvictedError")
        self.modes = modes
        for layer, mode in enumerate(modes):
            for batch_row, row in enumerate(held[layer]):
                ring = mode.get("window", 0) + mode.get("rollback_tokens", len(row))
                first = self.lens[layer][batch_row] - ring
                kept = [p for p in row if p < mode.get("sink_tokens", 0) or p >= first]
                slots = {self.slot(layer, p): (p, row[p]) for p in kept}
                self.slots[layer][batch_row] = slots

    def choose(self, batch_rows):
        self.slots = [[dict(layer[b]) for b in batch_rows] for layer in self.slots]
        self.lens = [[layer[b] for b in batch_rows] for layer in self.lens]


def do(step, cache, config):
    """One step; the cache to go on with, and what is seen."""
    batch, layers = len(cache.lens[0]), range(len(cache.modes))
    if step["op"] == "update":
        if "spoiled" in step:
            raise RefusedError("ShapeError")
        counts, ids = step.get("token_counts", [step["tokens"]] * batch), step["given"]
        ends = [
            (len(row) - n, None) if "padding" in step else (0, n) for row, n in zip(ids, counts)
        ]
        ids = [row[first:last] for row, (first, last) in zip(ids, ends, strict=True)]
        seen = [None for _ in layers]
        for layer in [step["layer"]] if "layer" in step else layers:
            if "seq_len" in step:
                seen[layer] = cache.total(layer, ids[0], step["seq_len"], "history" in step)
            else:
                seen[layer] = cache.update(layer, ids)
        return cache, seen
    if step["op"] in ("truncate", "reset"):
        total = step.get("seq_len", 0)
        cache.truncate(total if isinstance(total, list) else [total] * batch)
    elif step["op"] in ("copy", "save"):
        saved = PlainCache(config, batch)
        saved.slots, saved.lens = cache.slots, cache.lens
        saved.choose(range(batch))
        cache = cache if "original" in step else saved
    elif step["op"] == "resize":
        cache.resize({k: v for k, v in step.items() if k not in ("op", "expect")})
    elif step["op"] in ("reorder", "select", "repeat"):
        times = step.get("times", 1)
        chosen = step.get("batch_rows", range(batch))
        cache.choose([b for b in chosen for _ in range(times)])
    elif step["op"] == "add_batch_rows":
        other = PlainCache(config, step["batch_rows"])
        for layer in layers:
            other.update(layer, step.get("given", [[]] * step["batch_rows"]))
            cache.slots[layer] += other.slots[layer]
            cache.lens[layer] += other.lens[layer]
    return cache, [cache.read(layer) for layer in layers]


def outcome(step, cache, config):
    try:
        cache, seen = do(step, cache, config)
    except RefusedError as refused:
        return cache, {"refused": str(refused)}
    return cache, {"seq_lens": [list(lens) for lens in cache.lens], "visible": seen}
