"""The run: load the model, check the caches if asked to, generate text, print what it cost."""

import os
import textwrap
from pydoc_data import topics
from time import perf_counter

from attention import NumPyAttention, RepeatingAttention, RingAttention
from caches import ConcatenatingCache, fill, make_cache
from check import run_checks
from compare import Contestant, first_difference, table, take_turns, times_as_fast
from model import CHUNK_TOKENS, Model, prefill
from options import Options
from picture import WIDTH, draw_ring
from terminal import DemoError, progress_bar
from tokenizer import TextTokenizer
from weights import ModelFile, find_model_file, read_hyperparameters, read_weights

import kvring
from kvring import Append, Circular, KVCache

SHOWN_CHARACTERS = 300


def run(options: Options) -> None:
    """Do all that the options ask for and print it.

    Raises
    ------
    DemoError
        Something is missing, does not fit, or a check failed.
    """
    started = perf_counter()
    path = find_model_file()
    with progress_bar("opening the model file", 1, "file"):
        file = ModelFile(path)
        shape = read_hyperparameters(file)
        tokenizer = TextTokenizer(file)
    prompt = make_prompt(options, tokenizer)
    check_room(options, len(prompt), shape.context_tokens)
    model = Model(shape, read_weights(file, shape.layers))
    print(f"{path.stem}, loaded in {perf_counter() - started:.1f} s")
    warm_up()
    if options.check:
        run_checks(model, tokenizer)
    compare_caches(options, model, tokenizer, prompt)


def warm_up() -> None:
    """Have kvring's kernels compiled before anything is timed; it takes seconds the first time."""
    with progress_bar("compiling kvring's kernels", 0, "kernels") as progress:

        def show(done: int, total: int, kernel: str) -> None:
            progress.total = total
            progress.update(done - progress.n)

        kvring.warm_up("float32", "float16", "bfloat16", attention=True, progress=show)


def compare_caches(
    options: Options, model: Model, tokenizer: TextTokenizer, prompt: list[int]
) -> None:
    """Generate text with all contestants, and print it and what each of them cost."""
    contestants, prefill_seconds = make_contestants(options, model, prompt)
    print_text(contestants, model, tokenizer, prompt, options)
    print_other_text(contestants, tokenizer)
    print()
    obvious, plain, _, attending, *_, circular = contestants
    print(table(contestants, rival=obvious))
    for rival in (obvious, plain):
        ratio = times_as_fast(attending, rival)
        print(f"{attending.name}: {ratio:.2f} times as many tokens as {rival.name}")
    print_notes(contestants, prefill_seconds, len(prompt))
    rings = {c.name: c.cache for c in contestants if isinstance(c.cache, KVCache)}
    print_stats(rings)
    print_ring(rings[circular.name], options)


def make_contestants(
    options: Options, model: Model, prompt: list[int]
) -> tuple[list[Contestant], dict[str, float]]:
    """Return the contestants, at the last token of the prompt, and how long the prefills took.

    Caches that hold all rows get those of one prefill, each in its own dtype. The ring has its
    own: from the second layer on its rows are those of a model that has forgotten.
    """
    started = perf_counter()
    full = ConcatenatingCache(model.shape)
    prefill(model, full, prompt[:-1], "prefill, full history")
    seconds = {"full history": perf_counter() - started}
    contestants = [
        Contestant("obvious", full.copy(), RepeatingAttention()),
        Contestant("best plain NumPy", full, NumPyAttention()),
    ]
    capacity = len(prompt) + options.tokens
    for name, attention, dtype in (
        ("kvring, that attention", NumPyAttention(), "float32"),
        ("kvring, attend", RingAttention(), "float32"),
        ("kvring, attend, float16", RingAttention(), "float16"),
        ("kvring, attend, bfloat16", RingAttention(), "bfloat16"),
    ):
        cache = make_cache(model.shape, Append(capacity), dtype)
        fill(cache, full)
        contestants.append(Contestant(name, cache, attention))
    started = perf_counter()
    ring = make_cache(model.shape, Circular(window=options.window, sink_tokens=options.sink_tokens))
    prefill(model, ring, prompt[:-1], "prefill, circular")
    seconds["circular"] = perf_counter() - started
    contestants.append(Contestant("kvring circular, attend", ring, RingAttention()))
    for contestant in contestants:
        # The last token of the prompt is the first one to be decoded.
        contestant.next_token = prompt[-1]
    return contestants, seconds


def make_prompt(options: Options, tokenizer: TextTokenizer) -> list[int]:
    """Return the tokens to go on from."""
    if options.context is not None:
        return documentation_tokens(tokenizer, options.context)
    if options.chat:
        return tokenizer.encode_chat(options.prompt)
    return tokenizer.encode(options.prompt)


def documentation_tokens(tokenizer: TextTokenizer, tokens: int) -> list[int]:
    """Return the first tokens of the reference text that comes with Python."""
    text = "\n".join(topics.topics[name] for name in sorted(topics.topics))
    return tokenizer.encode(text)[:tokens]


def check_room(options: Options, prompt_tokens: int, most_tokens: int) -> None:
    """Raise DemoError when the model was not trained for so many positions."""
    prompt_tokens = options.context or prompt_tokens
    limit = f"are more than the {most_tokens} that the model can take"
    if prompt_tokens + options.tokens > most_tokens:
        wanted = f"{prompt_tokens} tokens of prompt and {options.tokens} to generate"
        raise DemoError(f"{wanted} {limit}")
    if options.window + options.sink_tokens > most_tokens:
        raise DemoError(f"a window of {options.window} and {options.sink_tokens} sinks {limit}")


def print_text(
    contestants: list[Contestant],
    model: Model,
    tokenizer: TextTokenizer,
    prompt: list[int],
    options: Options,
) -> None:
    """Generate with all contestants and print the first one's text as it comes."""
    names = ", ".join(contestant.name for contestant in contestants)
    turns = f"{names} take turns, token by token; this is the text of {contestants[0].name}:"
    print(textwrap.fill(turns, WIDTH) + "\n")
    if options.context is None:
        print(options.prompt, end="\n" if options.chat else "", flush=True)
    else:
        print("...", tokenizer.decode(prompt)[-SHOWN_CHARACTERS:], end="", flush=True)
    stream = tokenizer.stream()
    take_turns(
        contestants,
        model,
        options.tokens,
        tokenizer.stop_tokens,
        show=lambda token_id: print(stream.add(token_id), end="", flush=True),
    )
    print()


def print_other_text(contestants: list[Contestant], tokenizer: TextTokenizer) -> None:
    """Print where a contestant's text leaves that of the first one, and how it goes on."""
    first = contestants[0]
    for other in contestants[1:]:
        number = first_difference(other.token_ids, first.token_ids)
        if number is not None:
            rest = " ".join(tokenizer.decode(other.token_ids[number - 1 :]).split())
            text = f"{other.name} goes on from token {number} with: {rest[:SHOWN_CHARACTERS]}"
            print("\n" + textwrap.fill(text, WIDTH))


def print_notes(
    contestants: list[Contestant], prefill_seconds: dict[str, float], prompt_tokens: int
) -> None:
    """Print how the table came about, and the prefill where it took a noticeable time."""
    steps = max(len(contestant.token_ids) for contestant in contestants)
    print(f"\nMedians of {steps} tokens. The cache column is all layers: store the new row and get")
    print("the views. The rest of a token's time is the model's own matrix products, with")
    print(f"{' '.join(thread_settings())}.")
    if prompt_tokens > CHUNK_TOKENS:
        each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in prefill_seconds.items())
        print(f"Prefill of {prompt_tokens - 1} tokens, {CHUNK_TOKENS} at a time: {each}.")


def thread_settings() -> list[str]:
    """Return the settings that limit the threads of NumPy's matrix products."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return [f"{name}={os.environ[name]}" for name in names if name in os.environ]


def print_stats(caches: dict[str, KVCache]) -> None:
    """Print what kvring copied beyond the new rows; a decode loop should have gathered none."""
    for name, cache in caches.items():
        stats = cache.stats
        print(
            f"{name}: {stats.rows_gathered} rows gathered, "
            f"{stats.rows_assembled} assembled (for prompt chunks that overwrite older rows)"
        )


def print_ring(ring: KVCache, options: Options) -> None:
    """Draw the first layer of the circular cache."""
    positions, slots = ring.positions(0).tolist(), ring.slots(0).tolist()
    print(
        f"\nThe ring of layer 0: {options.sink_tokens} sinks + window {options.window} = "
        f"{options.sink_tokens + options.window} slots, {len(slots)} rows resident, "
        f"{ring.seq_len} tokens seen\n"
    )
    print(draw_ring(positions, slots, options.window, options.sink_tokens, ring.seq_len))
