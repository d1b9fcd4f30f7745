# make demo | test | test-redis | lint | audit | docs | pictures | bench | faults | bench-gpu
SHELL := /bin/bash
# The first interpreter that runs and is new enough: a name on the path may be an empty shim.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-redis lint audit docs pictures bench faults bench-gpu clean

demo: $(READY)
	@$(BIN)/sortline demo $(ARGS)

# Bytecode is kept, also of the tests: otherwise each of many processes would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# Three tests at a time keep two cores busy, because many tests wait: for a process, a browser or a time-out.
AT_ONCE := -n 3 --dist worksteal

test: $(READY)
	@$(BIN)/python -m pytest $(AT_ONCE) --durations=15 $(ARGS)

# The files that hold such tests: to collect all others takes longer than many of these tests.
REDIS_TESTS = $(shell grep --recursive --files-with-matches --include='test_*.py' 'mark\.redis_server' tests)

# The tests that depend on the redis-server, with each other server available here (tests/redis_servers.py).
test-redis: $(READY)
	@for server in $$($(BIN)/python -m tests.redis_servers); do \
		echo "== $$($$server --version)"; \
		SORTLINE_TEST_REDIS_SERVER=$$server $(BIN)/python -m pytest $(AT_ONCE) -m redis_server $(REDIS_TESTS) $(ARGS) \
			|| exit 1; \
	done

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DENO_DIR=build/deno DENO_NO_UPDATE_CHECK=1 $(BIN)/deno check --quiet --no-remote --no-npm --config web/jsconfig.json web
	$(BIN)/bandit --quiet --severity-level medium --configfile pyproject.toml --recursive \
		sortline web housekeeping monitoring worker classifier trainer db migrations

# Known vulnerabilities of the installed packages. It asks a public service, so it is not part of lint: without a
# network, or behind an index without that service, it says so and exits with 1.
audit: $(READY)
	@test -x build/audit/bin/pip-audit || { $(BIN)/python -m venv build/audit && \
		build/audit/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: pip-audit; } >&2
	@build/audit/bin/pip-audit --strict --progress-spinner off --no-deps --disable-pip --requirement constraints.txt \
		|| { echo "not clean, or the service of known faults (pypi.org) could not be asked: see above" >&2; exit 1; }

# The site of docs/ in build/docs; a broken link is an error.
docs: $(READY)
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --write-all --nitpicky --quiet docs build/docs

# The pictures in docs/pictures, taken of a running installation; ONLY=desk takes one.
pictures: $(READY)
	@$(BIN)/python -m docs.take_pictures $(ONLY)

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ONLY)

faults: $(READY)
	@$(BIN)/python -m benchmarks.faults $(ONLY)

bench-gpu: $(READY)
	@$(BIN)/python -m benchmarks.gpu

# Set up on standard error: standard output belongs to the results.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Sortline needs Python 3.11 or later on the path, or PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(PYTHON) doesn't run or is older than Python 3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@echo "setting up $(VENV) (a few minutes the first time)" >&2
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: \
		-c constraints.txt -e '.[dev]' >&2 \
		|| { echo "not set up: a package could not be had (see above), or has no wheel for $$($(BIN)/python -VV | head -1)" >&2; exit 1; }
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
