"""SmolLM2-135M generates text on the CPU, with kvring as its cache. Run with --help for more."""

import os
import signal
import sys


def end_on_interrupt(number: int, frame: object) -> None:
    """End the program on Ctrl-C: one line, exit code 130.

    An exception would be cleaner in a program with something to save. Here it could come in the
    middle of an import or a callback, where it is swallowed or printed as a traceback.
    """
    os.write(2, b"\ninterrupted\n")
    os._exit(130)


def leave_one_core_free() -> None:
    """Let matrix products use all cores but one, unless the user has chosen a number.

    A product spread over all cores waits for the slowest of them. When anything else keeps one
    busy, each of the hundred products of a token waits for a turn of the scheduler: on two cores
    700 ms for a token instead of 40. NumPy's BLAS reads the number once, when it is loaded.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, (os.cpu_count() or 1) - 1)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))


def main() -> int:
    """Run the demo and return the exit code; what the user can put right is one line on stderr."""
    signal.signal(signal.SIGINT, end_on_interrupt)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends quietly
    # Imports come late, so that Ctrl-C during one is met by the line above, and in this order,
    # so that --help and wrong options need no packages.
    from options import parse_options

    options = parse_options(sys.argv[1:])
    leave_one_core_free()
    try:
        from demo import run
        from terminal import DemoError
    except ModuleNotFoundError as error:
        install = 'pip install -e ".[demo]" in the root of the repository'
        print(f"smollm2: error: package {error.name} is missing; {install}", file=sys.stderr)
        return 1
    try:
        run(options)
    except DemoError as error:
        sys.stdout.flush()
        print(f"smollm2: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
