# make demo | test | lint | bench | faults | bench-gpu
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.13 || command -v python3.12 || command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench faults bench-gpu clean

demo: $(READY)
	@$(BIN)/sortline demo $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest --durations=15 $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ONLY)

faults: $(READY)
	@$(BIN)/python -m benchmarks.faults $(ONLY)

bench-gpu: $(READY)
	@$(BIN)/python -m benchmarks.gpu

# Set up on standard error: standard output belongs to the results.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Sortline needs Python 3.11 or later" if sys.version_info < (3, 11) else 0)' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@echo "setting up $(VENV) (a few minutes the first time)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
