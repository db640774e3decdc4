# Two commands: `make demo` shows the main job on a real PostgreSQL, `make test` passes every check.
# Each makes a virtual environment first, installs into it, and skips both when nothing has changed.

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
DEMO_FOLDER ?= auditlab-demo
PYTEST_ARGS ?=
BENCH_CHANGES ?=
BENCH_RESULTS ?= build/bench.jsonl
BENCHES ?= $(filter-out %/bench_tenmillion.py,$(wildcard tests/bench/bench_*.py)) # that one takes hours: name it
# Two processes share the tests file by file, each with a PostgreSQL of its own; a server that is given has one set of
# roles for all.
WORKERS ?= $(if $(AUDITLAB_TEST_DSN),0,2)

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
INPUTS := pyproject.toml $(CONSTRAINTS)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint bench bench-table format clean

help:
	@echo "make demo    start an embedded PostgreSQL, audit a workload on it, and show the answers (under a minute)"
	@echo "make test    lint, format check, types and the whole test suite"
	@echo "make soak    the promises of the log and its archive with their full numbers of kills, flips and writers"
	@echo "make bench   measure beside rivals and print the table (of 1M changes; BENCH_CHANGES=10000000 for another size)"
	@echo "make bench-table  put what the last make bench measured into CONTRIBUTING.md"
	@echo "make format  let ruff format and mend what it can"
	@echo "make clean   remove the virtual environment, builds and caches"
	@echo
	@echo "Options: PYTHON=python3.12  VENV=$(VENV)  DEMO_FOLDER=$(DEMO_FOLDER)  PYTEST_ARGS='-k summary'  WORKERS=$(WORKERS)"

demo: $(VENV)/.installed-demo
	@$(BIN)/auditlab demo --folder "$(DEMO_FOLDER)"

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

# Every test file that asks tests/soak.py how much to do, with the full numbers.
soak: $(VENV)/.installed-test
	AUDITLAB_SOAK=1 $(BIN)/python -m pytest $(PYTEST_ARGS) $(shell grep -rl --include='test_*.py' '^from soak import' tests)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	@mkdir -p "$(dir $(BENCH_RESULTS))" && rm -f "$(BENCH_RESULTS)"
	$(if $(BENCH_CHANGES),AUDITLAB_BENCH_ROWS=$(BENCH_CHANGES) )AUDITLAB_BENCH_RESULTS="$(abspath $(BENCH_RESULTS))" \
	  $(BIN)/python -m pytest -m bench -s $(PYTEST_ARGS) $(BENCHES); \
	status=$$?; $(BIN)/python tests/bench/figures_table.py "$(BENCH_RESULTS)" && exit $$status

# What the last `make bench` measured, where developers read it; the README has the main figures.
bench-table: $(VENV)/.installed-bench
	$(BIN)/python tests/bench/figures_table.py "$(BENCH_RESULTS)" --into CONTRIBUTING.md --plot notebooks/pictures/bench.svg

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf "$(VENV)" build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find auditlab tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python >= 3.11 of those that are here; PYTHON= names another.
$(BIN)/python:
	@found=""; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "auditlab needs Python 3.11 or newer, and none was found on PATH. Name one: make PYTHON=/path/to/python3.12 demo" >&2; \
	  exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv "$(VENV)" || { \
	  rm -rf "$(VENV)"; \
	  echo "$$found could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; \
	}

$(VENV)/.installed-%: $(INPUTS) | $(BIN)/python
	@echo "Installing auditlab[$*] into $(VENV) (once; about a minute)"
	@$(INSTALL) --editable ".[$*]"
	@touch $@
