"""A small decode server: one thread per conversation, one model, a kvring cache for each of them.

``python docs/examples/threads``, after ``make demo`` has installed the model. It answers questions
with 1, 2 and 4 threads and prints the tokens per second of each.
"""

import os
import sys
from pathlib import Path

# One core per conversation: products that spread over all cores would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "smollm2"))

QUESTIONS = (
    "What is a ring buffer?",
    "Why is the sky blue?",
    "Name three kinds of bread.",
    "How does a lock work?",
)


def main() -> int:
    """Serve the questions with more and more threads; what is missing is one line on stderr."""
    try:
        from server import Server, load
        from terminal import DemoError
    except ModuleNotFoundError as error:
        print(f"package {error.name} is missing; run `make demo` once", file=sys.stderr)
        return 1
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    try:
        model, tokenizer = load()
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    expected = None
    for threads in (1, 2, 4):
        server = Server(model, tokenizer, threads)
        answers, seconds = server.answer_all(QUESTIONS, tokens)
        rate = sum(answer.tokens for answer in answers) / seconds
        watched = f"the watcher copied {server.copies} caches in the middle of their work"
        print(f"{threads} threads: {rate:6.1f} tokens/s; {watched}")
        texts = [answer.text for answer in answers]
        expected = expected or texts
        if texts != expected:
            print("error: the answers depend on the number of threads", file=sys.stderr)
            return 1
    for question, text in zip(QUESTIONS, expected or [], strict=True):
        print(f"\n{question}\n  {' '.join(text.split())[:200]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
