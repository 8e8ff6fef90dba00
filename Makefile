# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes its own environment.
# plain pip, not uv: pip also looks where a CPU build of torch may lie already (its find-links setting).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CONSTRAINTS ?= constraints.txt

.PHONY: demo test test-all check bench clean-env

demo: $(VENV)/installed
	$(BIN)/yanmo demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-all: $(VENV)/installed-all
	$(BIN)/python -m pytest

bench: $(VENV)/installed-dev
	$(BIN)/python bench/train_step.py
	$(BIN)/python bench/decode.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -e . -c $(CONSTRAINTS)
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -e ".[dev]" -c $(CONSTRAINTS)
	touch $@ $(VENV)/installed

$(VENV)/installed-all: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -e ".[all]" -c $(CONSTRAINTS)
	touch $@ $(VENV)/installed-dev $(VENV)/installed

clean-env:
	rm -rf $(VENV)
