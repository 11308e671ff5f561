"""A program that speaks the oracle's protocol; its first argument says how it misbehaves."""

import json
import os
import sys
import time

import numpy as np

from tests.conformance.small import SUPPORTS, Everything, SeesOneTooMany

HOW = sys.argv[1] if len(sys.argv) > 1 else "right"


class Misbehaving(Everything):
    """Right until it has seen three tokens."""

    def update(self, layer, keys, values):
        seen = super().update(layer, keys, values)
        if self.seq_len(layer) > 3:
            misbehave()
        return seen


def misbehave():
    if HOW == "dies":
        print("out of memory", file=sys.stderr)
        os._exit(3)
    if HOW == "is killed":
        os.kill(os.getpid(), 9)
    if HOW == "hangs":
        time.sleep(60)
    if HOW == "raves":
        print("Segmentation fault (not really)", flush=True)
    if HOW == "answers a list":
        print("[1, 2]", flush=True)
    if HOW == "says nothing":
        print("{}", flush=True)
    if HOW == "refuses in half a character":
        print('{"error":"\\ud800"}', flush=True)
    if HOW == "nests":
        print("[" * 100_000, flush=True)
    if HOW == "closes":
        os.close(1)
        time.sleep(60)


CACHES = {"right": Everything, "wrong": SeesOneTooMany}
cache = None


def answer(request):
    global cache
    operation = request["op"]
    if operation == "hello":
        without = {**SUPPORTS["without"], "seq_len_form": "not here"}
        declared = {**SUPPORTS, "without": without} if HOW == "knows no forms" else SUPPORTS
        return {"name": "small", "supports": declared}
    if operation == "setup":
        config = request["config"]
        made = type("Setup", (), {**config["strategies"][0], "layers": len(config["strategies"])})
        cache = CACHES.get(HOW, Misbehaving)(made)
        return {"ok": True}
    if (
        HOW == "knows no forms"
        and operation == "update"
        and {"seq_len", "token_counts"} & set(request)
    ):
        os._exit(4)
    if operation == "update" and not {"seq_len", "token_counts"} & set(request):
        rows = [np.array(request[name], float) for name in ("keys", "values")]
        seen = cache.update(request["layer"], *rows)
        otherwise = json.loads(HOW) if HOW.startswith("{") else {}
        return {
            "ok": True,
            "keys": seen.keys.tolist(),
            "values": seen.values.tolist(),
            "mask": seen.mask.tolist(),
            "seq_lens": [[cache.seq_len(layer)] for layer in range(len(cache.rows))],
            **otherwise,
        }
    if operation == "truncate":
        cache.truncate(request["seq_len"])
        return {"ok": True}
    if operation == "reset":
        cache.reset()
        return {"ok": True}
    return {"unsupported": f"no {operation}"}


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except ValueError as error:
            reply = {"error": str(error)}
        times = 2 if HOW == "answers twice" and "mask" in reply else 1
        # One string, which is one write even where stdout has no buffer: whether a second answer
        # that comes later is noticed in time is a matter of luck.
        sys.stdout.write((json.dumps(reply) + "\n") * times)
        sys.stdout.flush()
