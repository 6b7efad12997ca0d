# `make help` says what there is. Needs python3 (3.11 or newer).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps

.DEFAULT_GOAL := help
.PHONY: help demo test lint coverage bench mutants docs tables screenshot clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(STAMPS)/package ## run every example circuit
	@$(BIN)/testrium run example_groups

# Compiled before: the units of most tests may not write bytecode, and each would compile it all again.
# Three processes for two cores: tests that start programs wait for a third of their time.
test: lint ## run every check of this project
	@$(BIN)/python -m compileall -q testrium
	@TESTRIUM_SOAK_S=20 $(BIN)/pytest --quiet tests/faults/test_soak.py
	@$(BIN)/pytest --numprocesses 3 --dist worksteal --ignore tests/faults/test_soak.py

lint: $(STAMPS)/test ## check style, types and the direction of imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

# Of tests/end_to_end some: a measured process starts slower, and whole runs take longer.
MEASURED := $(filter-out tests/browser/ tests/faults/ tests/end_to_end/ tests/corpus/,$(wildcard tests/*/)) \
	$(filter-out tests/conftest.py tests/test_benchmarks.py tests/test_site.py,$(wildcard tests/*.py)) \
	$(addprefix tests/end_to_end/test_,$(addsuffix .py,archives chaos checks clocks examples explore faults \
	fixtures generate histories life links monitoring retries runs stopping suites taps telemetry usercode \
	watching))

coverage: $(STAMPS)/test ## measure which branches the tests go through; fails below the floor
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest --quiet --numprocesses 2 -m 'not unmeasured' \
		--ignore tests/cli/test_coverage.py $(MEASURED)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

mutants: $(STAMPS)/test ## break the program in 120 places, and see whether the tests notice (18 minutes)
	@$(BIN)/python tests/mutants.py

bench: $(STAMPS)/test ## measure the figures of docs/performance.md
	@$(BIN)/python -m benchmarks

docs: $(STAMPS)/test ## build the documentation site into build/site; a warning or a broken link fails it
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -d build/doctrees docs build/site
	@$(BIN)/python docs/links.py build/site

tables: $(STAMPS)/package ## write the tables of keys in docs/reference from their declaration
	@$(BIN)/python docs/tables.py

screenshot: $(STAMPS)/package ## take the pictures that README.md and the documentation show; needs chromium
	@$(BIN)/python docs/screenshot.py

clean: ## remove what the other commands made
	rm -rf $(VENV) build dist .testrium .hypothesis .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment of Debian's python3 needs its package python3-venv.
$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Testrium needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: pyproject.toml $(STAMPS)/venv
	@$(BIN)/pip install --quiet --editable .
	@touch $@

$(STAMPS)/test: pyproject.toml $(STAMPS)/package
	@$(BIN)/pip install --quiet --group test
	@touch $@
