"""``kvring warm-up``: compile kernels into the disk cache."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..text import counted, near
from .terminal import progress

if TYPE_CHECKING:
    from .parser import Parser

__all__ = ["fill"]

KNOWN = ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "float8_e4m3fn")

EPILOG = """\
examples:
  kvring warm-up                                 for float32
  kvring warm-up float16 bfloat16 --attention    and for kvring.attend on them
  kvring warm-up --eviction                      and for layers with an eviction policy

Half a second a kernel, ten for one of attention; a tenth once they are on disk. An image that is
built with this command starts without compiling. `kvring info` shows the folder.

exit codes: 0 all compiled, 2 no such dtype, 130 interrupted (what was compiled stays)"""


def fill(parser: Parser) -> None:
    """Add what the command takes."""
    parser.description = "Compile, or load from the disk cache, the kernels for some dtypes."
    parser.epilog = EPILOG
    parser.add_argument("dtypes", metavar="DTYPE", nargs="*", default=[], help="float32 if none")
    parser.add_argument("--attention", action="store_true", help="the kernel of attend, too")
    parser.add_argument("--eviction", action="store_true", help="those of eviction policies, too")
    parser.add_argument("--json", action="store_true", help="what was compiled, on stdout")
    parser.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Compile, and say how long it took."""
    from ..dtypes import checked_dtype
    from ..warm import warm_up

    for name in options.dtypes:
        try:
            checked_dtype(name)
        except ConfigError as error:
            hint = near(name, KNOWN)
            raise ConfigError(f"{error}{hint if 'did you mean' in hint else ''}") from None
    started, kernels = time.perf_counter(), []
    # How many there are is told with the first one.
    with progress(1, "kernels") as show:

        def tell(done: int, total: int, kernel: str) -> None:
            show(done, kernel, total)
            if done < total:
                kernels.append(kernel)

        chosen = {"attention": options.attention, "eviction": options.eviction}
        warm_up(*options.dtypes, **chosen, progress=tell)
    seconds = time.perf_counter() - started
    if options.json:
        print(json.dumps({"kernels": kernels, "seconds": round(seconds, 3)}))
    else:
        print(f"{counted(len(kernels), 'kernel')} ready in {seconds:.1f} s")
    return 0
