# Needs Python 3.11 or newer with pip, and make; `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help install run demo data check fix test test-long bench bench-journey bench-append bench-relay \
	bench-api bench-queue bench-projections bench-export bench-render chaos clean

PYTHON ?= python3
BIN := .venv/bin

# Exact versions in every call of pip, also in the one that builds our own package.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Bytecode is written as modules are first used, and only then: most of torch never is.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := $(BIN)/python -m pip install --no-compile --quiet --progress-bar off --no-input

# `make demo` may be called beside a `make run` that still installs.
INSTALL_ALONE = tools/alone .venv.lock "$(PYTHON)" $(MAKE) --silent --no-print-directory .venv/installed

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 24

install: .venv/developed ## install Atelier with everything that check and test need

run: data ## start everything on this machine; Ctrl-C stops it
	@$(INSTALL_ALONE)
	@exec $(BIN)/python -m api up

demo: ## order a picture and watch it being made
	@$(INSTALL_ALONE)
	@exec $(BIN)/python -m api demo

check: .venv/developed ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/developed ## mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: .venv/developed .atelier/anny/prepared ## unit, integration and acceptance tests
	$(BIN)/python -m pytest tests/unit tests/integration --numprocesses 6 --dist loadfile $(PYTEST)
	$(BIN)/python -m pytest tests/acceptance --numprocesses 2 --dist loadfile $(PYTEST)

test-long: .venv/developed ## the tests that take minutes: a hundred kills and the like
	$(BIN)/python -m pytest tests/unit tests/integration -m long --timeout 3600 -o faulthandler_timeout=0

chaos: .venv/developed .atelier/anny/prepared ## ten minutes of kills, freezes and other faults under load; nothing may be lost
	@$(BIN)/python -m tests.chaos

bench: bench-journey bench-append bench-relay bench-api bench-queue bench-projections bench-export bench-render ## all benchmarks

bench-journey: .venv/developed ## how long people wait for a start and for a picture
	@$(BIN)/python -m tests.bench.journey

bench-append: .venv/developed ## events stored a second, against the stock recorder and a plain INSERT
	@$(BIN)/python -m tests.bench.append

bench-api: .venv/benchmarked ## requests a second, against FastAPI and asyncpg (needs wrk)
	@$(BIN)/python -m tests.bench.api

bench-relay: .venv/developed ## events a second onto Kafka, against a bare kafka-python producer
	@$(BIN)/python -m tests.bench.relay

bench-queue: .venv/benchmarked ## tasks a second through the queue, against procrastinate (needs wrk)
	@$(BIN)/python -m tests.bench.queue

bench-projections: .venv/developed ## events a second into read models, and how soon one is visible
	@$(BIN)/python -m tests.bench.projections

bench-export: .venv/developed ## a million events to files, against psql \copy
	@$(BIN)/python -m tests.bench.export

# As `atelier up` starts the consumers.
bench-render: .venv/developed .atelier/anny/prepared ## seconds and memory a picture takes, against warp's rays
	@ANNY_CACHE_DIR=.atelier/anny OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.bench.render

clean: ## remove what was installed and made, but not the data in .atelier
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What cannot work says so before anything is installed.
data: folder = $(or $(ATELIER_DATA),.atelier)
data:
	@mkdir -p -m 700 "$(folder)" && [ -w "$(folder)" ] && [ -x "$(folder)" ] || { \
	  echo "ATELIER_DATA must name a folder that you may write to, and '$(folder)' is none." >&2; exit 1; }

# The tests take it from here; `make run` does this by itself.
.atelier/anny/prepared: .venv/developed
	@tools/step "Preparing the body model, and compiling what draws it (half a minute, once)" \
	  env ANNY_CACHE_DIR=$(@D) $(BIN)/python -c \
	  'from render_consumers.painting.painter import Painter; Painter()'
	@touch $@

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Atelier needs Python 3.11 or newer, and '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one, for example: make $(or $(MAKECMDGOALS),run) PYTHON=python3.12" >&2; exit 1; }
	@tools/step "Making the virtual environment" $(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/made pyproject.toml constraints.txt
	@tools/step "Installing Atelier and its servers (half a minute the first time)" \
	  $(PIP_INSTALL) -e '.[embedded]'
	@tools/step "Installing what draws the pictures: torch and more (about a minute the first time)" \
	  $(PIP_INSTALL) -e '.[embedded,render]'
	@touch $@

# All at once: pip looks through everything each time that it is called.
.venv/developed: .venv/made pyproject.toml constraints.txt
	@tools/step "Installing Atelier with the tools for check and test (two minutes the first time)" \
	  $(PIP_INSTALL) -e '.[embedded,render,dev]'
	@touch .venv/installed $@

.venv/benchmarked: .venv/developed
	@tools/step "Installing what the benchmarks compare with" $(PIP_INSTALL) -e '.[embedded,render,dev,bench]'
	@touch $@
