PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint docs bench clean

run: .venv/installed  ## search Fashion-MNIST for real
	$(BIN)/searchcnn optimize --study fashion_mnist

test: lint  ## everything that must be green
	$(BIN)/pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev  ## build the site into site/
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/installed-dev  ## ours beside Keras Tuner, an Optuna script and an expert's training: 21 minutes on two cores
	$(BIN)/python benchmarks/peers.py --data fashion_mnist --minutes 10 --seeds 1 --cores 1 --out benchmark.json

clean:
	rm -rf .venv build dist site *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --editable '.[dev]'
	touch $@
