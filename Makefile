# Every target sets up .venv by itself. EXTRA=gpu for a machine with a GPU.
EXTRA ?= cpu
BIN := .venv/bin
# A process for each of two cores. Slow tests stay by room: those of a room share a real release or endpoint.
FAST := -n 2 --dist worksteal -m "not slow and not fault"
SLOW := -n 2 --dist loadscope -m "slow and not fault"
UNIT := -n 2 --dist worksteal -m "not slow and not fault and not browser and not postgres"
# Of fast tests each process computes with one thread, and writes to memory where there is room: on a disk they wait for
# it a third of their time. Slow tests write models, which stay on the disk.
QUICK := OMP_NUM_THREADS=1 $(shell [ "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null && echo TMPDIR=/dev/shm)
SHELL_FILES := .ci/run scripts/setup.sh scripts/uv-settings.sh benchmarks/trainers/install.sh

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Tests start hundreds of processes, each of which would compile our modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults check lint unit snapshots bench clean

help:  ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## Make .venv ready
	@scripts/setup.sh $(EXTRA)

demo: setup  ## Run the three example releases and show them side by side
	@$(BIN)/python -m tunegate.demo

test: setup  ## Run every test but the slow faults (at most 20 minutes on 2 cores)
	$(QUICK) $(BIN)/pytest $(FAST) --durations=10
	$(BIN)/pytest $(SLOW) --durations=30

test-faults: setup  ## Run the slow tests of faults (at most 25 minutes)
	$(BIN)/pytest -m fault --durations=30

check: setup  ## Format, lint, types, import rules and unit tests (under 3 minutes)
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 lint unit

lint: setup
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/shellcheck $(SHELL_FILES)
	$(BIN)/hadolint Dockerfile

unit: setup
	$(QUICK) $(BIN)/pytest $(UNIT) -q

snapshots: setup  ## Write again what is made from the code: JSON Schema, README's help, the list of verbs
	$(BIN)/python scripts/snapshots.py

bench: setup  ## Measure; each benchmark ends with one line of JSON
	$(BIN)/python -m benchmarks.ledger --json
	$(BIN)/python -m benchmarks.train --json
	$(BIN)/python -m benchmarks.serving --json

clean:  ## Remove caches and build outputs; .tunegate and .venv stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
