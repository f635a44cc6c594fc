# Every target does its own set-up: it needs Python, make and a package index, and touches nothing outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PLATFORMS ?= dandi
SECONDS ?= 300
OLDEST := $(shell sed -n 's/.*"\(dagster[a-z-]*\)>=\([0-9.]*\),.*/\1==\2/p' pyproject.toml)

.PHONY: help sync ui demo test oldest browser check bench soak clean

help:
	@echo "make demo   the whole job against a simulated archive, no network; PLATFORMS=all: with Notion and Airtable"
	@echo "            (UI=1 leaves Dagster's UI running)"
	@echo "make sync   mirror the DANDI Archive; options in ARGS, e.g. make sync ARGS='--dandiset-id 3'"
	@echo "make ui     Dagster's UI on the same mirror"
	@echo "make test   the tests;  make check: ruff, mypy, import contracts"
	@echo "make oldest the tests of what Dagster runs, on the oldest Dagster that pyproject.toml admits"
	@echo "make browser, make bench, make soak: what needs Chromium, quiet or time; see CONTRIBUTING.md"

$(VENV)/.runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	  || { echo "Python 3.11 to 3.14 is needed; say which: make PYTHON=python3.12 …" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing dandi_pipeline into $(VENV) (once) …" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing what the tests need into $(VENV) (once) …" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

sync: $(VENV)/.runtime
	@$(BIN)/dandi-pipeline sync $(ARGS)

ui: $(VENV)/.runtime
	@$(BIN)/dandi-pipeline ui $(ARGS)

demo: $(VENV)/.runtime
	@$(BIN)/python -m dandi_pipeline_tests.demo --platforms $(PLATFORMS) $(if $(UI),--ui)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n auto --ignore dandi_pipeline_tests/browser $(ARGS)

$(VENV)-oldest/.dev: pyproject.toml
	@test -x $(VENV)-oldest/bin/python || $(PYTHON) -m venv $(VENV)-oldest
	@echo "Installing $(OLDEST) into $(VENV)-oldest (once) …" >&2
	@$(VENV)-oldest/bin/pip install --quiet --disable-pip-version-check -e '.[dev]' $(OLDEST)
	@touch $@

# Without the tests of batches: the oldest Dagster lacks what writes them, and events are logged one by one.
# With its own warnings: an old Dagster meets libraries that came after it.
oldest: $(VENV)-oldest/.dev
	@$(VENV)-oldest/bin/python -m pytest -n auto -W default dandi_pipeline_tests/orchestration \
	  --ignore dandi_pipeline_tests/orchestration/test_event_batches.py \
	  --ignore dandi_pipeline_tests/orchestration/test_start_up.py $(ARGS)

browser: $(VENV)/.dev
	@$(BIN)/python -m pytest dandi_pipeline_tests/browser $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev
	@$(BIN)/python -m dandi_pipeline_tests.benchmarks $(ARGS)

soak: $(VENV)/.dev
	@$(BIN)/python -m dandi_pipeline_tests.soak --seconds $(SECONDS) $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-oldest .bench .dagster_home .demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
