# Everything runs in .venv, which each target sets up for itself. Nothing is downloaded at run time.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

export HF_HUB_OFFLINE = 1

.PHONY: demo test coverage lint format bench verdicts clean

demo: $(VENV)/installed-demo  ## Diagnose the demo pipeline over the project's handbook (installs no torch).
	$(BIN)/ragdiag demo

test coverage: export OMP_NUM_THREADS = 1  # one process a core is enough
test: $(VENV)/installed-dev  ## Run all tests and the examples in the documentation.
	$(BIN)/python -m pytest --numprocesses=auto

coverage: $(VENV)/installed-dev  ## The same, and fail where branches are not covered; takes two thirds longer.
	$(BIN)/python -m pytest --numprocesses=auto --cov=ragdiag --cov-branch --cov-report=term

lint: $(VENV)/installed-dev  ## Check style and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff format

bench: $(VENV)/installed-bench  ## Repeat every figure of the documentation (about five hours).
	$(BIN)/python benchmarks/span_recall.py
	$(BIN)/python benchmarks/document_retrieval.py
	$(BIN)/python benchmarks/chunker_speed.py
	$(BIN)/python benchmarks/rank_measures.py
	$(BIN)/python benchmarks/ledger_cost.py
	$(BIN)/python benchmarks/verdict_cost.py
	$(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/exact_ranks.py
	$(BIN)/python benchmarks/bm25_speed.py --out benchmarks/results/bm25_speed.json
	$(BIN)/python benchmarks/interval_coverage.py
	$(BIN)/python benchmarks/chroma.py
	$(BIN)/python benchmarks/chunkers.py
	$(BIN)/python benchmarks/sweep_cost.py
	$(BIN)/python benchmarks/scale.py

verdicts: $(VENV)/installed-bench  ## How often a verdict is right: the table and the heat map (about half an hour).
	$(BIN)/python benchmarks/verdicts.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed-demo: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[static]'
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[static,sentence-transformers]' \
		--group test --group minilm --group lint
	touch $@ $(VENV)/installed-demo

$(VENV)/installed-bench: pyproject.toml $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --group bench
	touch $@
