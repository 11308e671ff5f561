"""Which releases are judged, and which caches of them.

Adapters know nothing of this: what a release does not have, it says itself.
"""

from dataclasses import dataclass

SEARCH = ("hypothesis==6.170.17", "tqdm")
IN_CI = ("transformers", "mlx-lm")  # the newest releases of these


@dataclass(frozen=True)
class Known:
    """A bug that is publicly known: which release has it, where, and what is reported of it."""

    version: str
    cache: str  # "module:factory"
    report: str
    about: str


@dataclass(frozen=True)
class Library:
    """A library on the package index."""

    name: str
    newest: str
    caches: tuple[str, ...]  # "module:factory"
    first: tuple[str, ...] = ()  # what is installed before it
    extra: str = ""
    together: tuple[str, ...] = ()  # what is installed with it
    options: tuple[str, ...] = ()  # of pip
    environment: tuple[tuple[str, str], ...] = ()  # of pip
    known: tuple[Known, ...] = ()

    def requirements(self, version):
        """What pip installs, step by step; the search needs Hypothesis."""
        wanted = f"{self.name}{self.extra}=={version}"
        together = [*self.options, wanted, *self.together, *SEARCH]
        return [*([name] for name in self.first), together]


HF = "hf_transformers"
OLD = "hf_transformers_old"
MLX, BATCHES = "mlx_caches", "mlx_batches"
HF_CACHES = (
    "dynamic dynamic_sliding recording static static_full static_position static_sliding quantized"
)
MLX_CACHES = (
    "kv kv_negative kv_window concatenating quantized chunked"
    " rotating rotating_trimmed rotating_keep"
)
BATCH_CACHES = (
    "batch_kv batch_position batch_rotating batch_rotating_state batch_rotating_saved"
    " batch_kv_later batch_rotating_later merged_kv merged_rotating"
)

QUERY_GROUPS = "growing full padded window windowed_cache windowed_cache_padded"
LLAMA = "full apart flash window window_full window_apart crowded shifted shifted_apart"
LLAMA_BUILD = (
    "CMAKE_C_FLAGS_RELEASE=-O1",
    "CMAKE_CXX_FLAGS_RELEASE=-O1",
    "GGML_NATIVE=OFF",
    "GGML_OPENMP=OFF",
    "GGML_LLAMAFILE=OFF",
    "LLAVA_BUILD=OFF",
    "LLAMA_BUILD_TOOLS=OFF",
)


def named(module, names):
    """Every name of a module."""
    return tuple(f"{module}:{name}" for name in names.split())


LIBRARIES = {
    library.name: library
    for library in (
        Library(
            "transformers",
            "5.24.0",
            named(HF, HF_CACHES) + named("hf_paged", "paged paged_sliding"),
            first=("torch==2.13.0",),
            known=(
                Known(
                    "4.51.3", f"{OLD}:sliding_window", "#37574", "the update that fills the window"
                ),
                Known("4.51.3", f"{OLD}:sliding_window_chunks", "#40893", "chunks into a window"),
                Known("4.51.3", f"{OLD}:hybrid", "#37574", "the update that fills the window"),
                Known("4.57.6", f"{HF}:dynamic", "#47433", "crop by more than there is"),
                Known("4.57.6", f"{HF}:static", "#30377", "a row of zeros counts as no row"),
                Known("4.40.2", f"{OLD}:sink", "#31537", "a chunk as long as the window"),
                Known("5.23.0", f"{HF}:quantized", "#45510", "crop, repeat and select"),
            ),
        ),
        Library(
            "mlx-lm",
            "0.32.2",
            named(MLX, MLX_CACHES) + named(BATCHES, BATCH_CACHES),
            extra="[cpu]",
            known=(
                Known("0.28.4", f"{BATCHES}:merged_rotating", "#738", "merge after a prefill"),
                Known("0.30.5", f"{BATCHES}:merged_rotating", "#983", "merge after a wrap"),
                Known("0.30.5", f"{MLX}:kv_window", "#843", "no window for a single token"),
                Known("0.31.2", f"{BATCHES}:batch_kv", "#1141", "extend with an empty side"),
                Known("0.31.3", f"{BATCHES}:batch_kv", "", "extend promotes float16"),
                Known("0.31.3", f"{BATCHES}:batch_rotating_saved", "", "`rotated` flips on load"),
                Known("0.31.3", f"{MLX}:rotating_trimmed", "#1776", "trim after a wrap"),
                Known("0.31.3", f"{MLX}:concatenating", "#1494", "trim resurrects rows"),
                Known(
                    "0.31.3",
                    f"{BATCHES}:batch_kv_later",
                    "",
                    "filter between prepare and finalize",
                ),
            ),
        ),
        Library(
            "moshi-mlx",
            "0.3.0",
            named("moshi_caches", "kv rotating"),
            together=("mlx[cpu]",),
        ),
        Library(
            "onnx",
            "1.23.2",
            named("onnx_attention", "reference reference_window")
            + named("onnx_scatter", "reference reference_circular"),
            known=(
                Known("1.19.0", "onnx_attention:reference", "#7297", "causal mask with a past"),
            ),
        ),
        Library(
            "onnxruntime",
            "1.32.0",
            named("onnx_attention", "runtime runtime_window")
            + named("onnx_scatter", "runtime runtime_circular")
            + named("ort_grouped_query", QUERY_GROUPS),
            together=("onnx==1.23.2",),
            known=(Known("1.27.0", "onnx_scatter:runtime", "#28958", "causal mask, static cache"),),
        ),
        Library(
            "flax",
            "0.12.8",
            named("flax_attention", "decode causal viewed"),
            known=(
                Known("0.12.8", "flax_attention:causal", "#5591", "causal decode sees one key"),
            ),
        ),
        Library(
            "litgpt",
            "0.5.13",
            named("litgpt_model", "full latent softcapped sliding sliding_one_by_one"),
            first=("torch==2.13.0",),
        ),
        Library(
            "veloxquant-mlx",
            "0.94.15",
            named("velox_caches", "sliding_window sliding_window_padded streaming h2o"),
            together=("mlx[cpu]",),
            known=(Known("0.80.0", "velox_caches:sliding_window_padded", "#274", "never evicts"),),
        ),
        Library(
            "llama-cpp-python",
            "0.3.36",
            named("llama_cpp_cache", LLAMA),
            together=("gguf==0.19.0", "numpy"),
            # Compiled here: without optimization and without its tools that is a few minutes.
            options=("--config-settings=build.targets=llama;llama-common",),
            environment=(
                ("CMAKE_ARGS", " ".join(f"-D{setting}" for setting in LLAMA_BUILD)),
                ("CMAKE_BUILD_PARALLEL_LEVEL", "2"),
            ),
        ),
    )
}
