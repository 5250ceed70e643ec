PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,offline,train,report,notebooks,dev

.PHONY: demo test lint bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   install and run the main job on the bundled collection, offline"
	@echo "make test   install and run the tests"
	@echo "make lint   ruff and mypy"
	@echo "make bench  repeat the figures of the README"

# torch goes first and pinned: the CPU wheel is found that way.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/hybrid demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) build *.egg-info
