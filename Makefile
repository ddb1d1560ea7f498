# The commands of the README. Every target first makes `install` happen.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=

.PHONY: install demo test ui lint docs lock clean

install: $(STAMP)

# uv from the PATH when it is there, otherwise from the virtual environment itself.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	command -v uv >/dev/null 2>&1 || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	UV=$$(command -v uv || echo $(BIN)/uv); \
	  $$UV pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	  $$UV pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install
	$(BIN)/fair-dagster demo $(if $(DATA),--data $(DATA))

# Two processes, each with its servers: most of the time is waiting for them. The tests of a file stay together.
# What trains with a home of its own comes apart: ZenML serves one home a process.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile tests --ignore tests/e2e --ignore tests/fair/test_python_page.py
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/e2e
	$(BIN)/python -m pytest tests/fair/test_python_page.py
	$(BIN)/python -m pytest models

ui: install
	$(BIN)/fair-dagster ui

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dg check defs

# The site of docs/, as it is published; a broken link or a page without a place in the menu is an error.
docs: install
	$(BIN)/python -m mkdocs build --strict

# Every extra. Hashes only, no download addresses: the file works with any index.
lock:
	UV=$$(command -v uv || echo $(BIN)/uv); \
	  $$UV pip compile pyproject.toml --all-extras --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --universal --output-file requirements.lock

# Servers first: without their folder nobody could stop them any more.
clean:
	for home in .fair .fair-team; do \
	  if test -d $$home/services && test -x $(BIN)/python; then FAIR_HOME=$$home scripts/services down; fi; \
	done
	rm -rf $(VENV) .fair .fair-team build dist site
