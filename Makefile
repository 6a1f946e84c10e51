# Two commands on a fresh machine: `make demo` and `make test`. Everything else stands on the same .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test claims bench coverage docs lint clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

$(VENV)/base: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[tables,sklearn]'
	@touch $@

# PyTorch's CPU build where pip finds one: a looser request brings gigabytes of CUDA packages.
$(VENV)/test: $(VENV)/base
	$(BIN)/pip install --quiet 'torch==2.13.0'
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	@touch $@

demo: $(VENV)/base  ## set up, report on real data, print the page's path (no PyTorch)
	$(BIN)/plogp demo --out plogp-report

test: $(VENV)/test  ## set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/test  ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

claims: $(VENV)/test  ## every claim of the catalogue, slow ones included, and the coverage table
	$(BIN)/plogp reproduce --all --slow --out plogp-claims
	$(BIN)/python -m pytest -m slow -n 2 tests
	$(BIN)/python benchmarks/interval_coverage.py

bench: $(VENV)/test  ## speed against named peers, side by side
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/base  ## build the documentation into site/
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:  ## remove what the commands made
	rm -rf $(VENV) site build dist plogp-report plogp-claims
