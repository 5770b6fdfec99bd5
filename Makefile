# Two commands do all the set-up on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint unit bench bench-quick bench-report bench-micro bench-postgres docs clean mutation vectors soak coverage

help:
	@echo "make demo    an evening's service, with and without sharing results"
	@echo "make test    linters, types, architecture, then every test"
	@echo "make bench   decision, reading and writing the blob, in microseconds"
	@echo "make bench-quick   planner calls saved, in under a minute: the figures of README.md, kept in benchmarks/results"
	@echo "make bench-report  the same with 30 evenings of each service, as a page in build/benchmark"
	@echo "make bench-micro     decision, blob and attempt, beside the libraries one might take instead"
	@echo "make bench-postgres  attempts per second, round trips, WAL, bloat, and tables of up to ROWS=1000000 rows"
	@echo "make mutation  change the core one thing at a time, and see whether a test minds (slow)"
	@echo "make coverage  lines and branches of the core that its own tests reach; fails below all of them"
	@echo "make soak    a million schedules, fifty kills at every boundary, a hundred crashes of the server (hours)"
	@echo "make vectors write the decision vectors of assign_testing"
	@echo "make docs    write the generated parts of README.md, benchmarks/README.md and src/adapters/assign_cli/REFERENCE.md"
	@echo "make clean   remove what the other targets made"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras, so that `make demo` does not install linters.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/.mutation: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutation]'
	@touch $@

$(VENV)/.micro: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[micro]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/assign-core demo

test: lint unit

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

bench: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-columns=min,median,iqr,rounds

# The results are kept, so that README.md can be held against them; all but the machine follows from code and seeds.
bench-quick: $(VENV)/.test
	$(BIN)/assign-core benchmark --quick --out build/benchmark-quick
	mkdir -p benchmarks/results
	cp build/benchmark-quick/results.json benchmarks/results/quick.json
	$(BIN)/python -m assign_cli.readme README.md
	$(BIN)/python -m assign_cli.readme benchmarks/README.md

bench-report: $(VENV)/.test
	$(BIN)/assign-core benchmark --out build/benchmark
	mkdir -p benchmarks/results
	cp build/benchmark/results.json benchmarks/results/report.json
	$(BIN)/python -m assign_cli.readme README.md
	$(BIN)/python -m assign_cli.readme benchmarks/README.md

bench-micro: $(VENV)/.micro
	$(BIN)/python -m benchmarks.micro

ROWS ?= 1000000
RESULTS ?= 1000000
PARTS ?= attempts results growth
bench-postgres: $(VENV)/.test
	$(BIN)/python -m benchmarks.postgres --rows $(ROWS) --results $(RESULTS) --only $(PARTS)

docs: $(VENV)/.test
	$(BIN)/python -m assign_cli.readme README.md
	$(BIN)/python -m assign_cli.readme benchmarks/README.md
	$(BIN)/python -m assign_cli.readme src/adapters/assign_cli/REFERENCE.md

mutation: $(VENV)/.mutation
	$(BIN)/python tests/mutation/run.py

# The core's own tests alone; what an adapter's tests reach besides is no specification of the core.
coverage: $(VENV)/.test
	ASSIGN_CORE_BRIEF=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal tests/core tests/flows tests/wire \
	    --cov=assign_core --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

soak: $(VENV)/.test
	mkdir -p benchmarks/results
	$(BIN)/python -m assign_testing.explorer --random 1000000 --processes 2 --out benchmarks/results/explored.json
	ASSIGN_CORE_SOAK=1 $(BIN)/python -m pytest tests/faults

vectors: $(VENV)/.test
	$(BIN)/python -m tests.testing.make_vectors

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
