# Each target does its own set-up; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Much of the suite waits for brokers that were killed; each process has servers of its own.
TEST_PROCESSES ?= 2
# Whole files, in the order of tests/order.py. Tests start hundreds of processes, which would all compile our modules anew.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
# Of the fault suite's schedules; tests run the first three.
SEEDS ?= 0-19
ROOMS := core schemas producers processors sinks gateway operations
MYPY_PACKAGES := $(foreach room,$(ROOMS),-p tradewire.$(room))

.PHONY: help install demo up test chaos lint format generate bench lock clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make the virtual environment with the locked packages

$(INSTALLED): pyproject.toml requirements.lock hatch_build.py schemas/tradewire/schemas/_native.c sinks/tradewire/sinks/_native.c
	@$(PYTHON) -c 'import sys; sys.exit("Tradewire needs Python 3.11 or newer, this is %d.%d: set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## The main job, end to end; INPUT=file feeds a trades file instead of 100,000 simulated events
	$(BIN)/tradewire demo $(if $(INPUT),--input $(INPUT),)

up: $(INSTALLED) ## Start the local stack; Ctrl-C stops it
	$(BIN)/tradewire up

test: $(INSTALLED) ## All tests, against real Kafka and the real ClickHouse engine
	$(PYTEST) $(PYTEST_ARGS)

chaos: $(INSTALLED) ## The full fault suite, in longer forms and with twenty seeds; SEEDS=7 or SEEDS=20-39: others
	$(PYTEST) -m "chaos or long" --chaos-seeds $(SEEDS) $(PYTEST_ARGS)

lint: $(INSTALLED) ## ruff (format and check) and mypy strict over all rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(MYPY_PACKAGES)

format: $(INSTALLED) ## Let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(INSTALLED) ## Typed classes and docs/{events.md,asyncapi.yaml} from the contract, docs/settings.md from the settings
	$(BIN)/tradewire schemas generate-types --output schemas/tradewire/schemas/types
	$(BIN)/tradewire schemas docs --output docs
	$(BIN)/tradewire settings --output docs/settings.md

bench: $(INSTALLED) ## Ours, the peer and the raw limit side by side; ROWS=publish,sink,…; SCALE=100000000: growing history
	$(BIN)/python -m $(if $(SCALE),benchmarks.growth --rows $(SCALE),benchmarks $(if $(ROWS),--rows $(ROWS),))

lock: $(INSTALLED) ## Resolve requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --all-extras --group dev \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean: ## Remove what the targets made here; the cache of jars and the local stack's data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
