PYTHON ?= python3
BIN := .venv/bin
JAX_BIN := .venv-jax/bin

.PHONY: run test test-jax lint docs bench clean

run: .venv/installed  ## search Fashion-MNIST for real
	$(BIN)/searchcnn optimize --study fashion_mnist

test: lint  ## everything that must be green
	$(BIN)/pytest

test-jax: .venv-jax/installed  ## what is to work with JAX, in an environment without TensorFlow
	KERAS_BACKEND=jax $(JAX_BIN)/pytest -m jax

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
	rm -rf .venv .venv-jax build dist site *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --quiet --editable '.[dev]'
	touch $@

.venv-jax/installed: pyproject.toml
	$(PYTHON) -m venv .venv-jax
	$(JAX_BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
		print(*[name for name in project["dependencies"] if not name.startswith("tensorflow")], sep="\n")' > .venv-jax/requirements.txt
	$(JAX_BIN)/python -m pip install --quiet --quiet --upgrade pip
	$(JAX_BIN)/python -m pip install --quiet --quiet --requirement .venv-jax/requirements.txt jax pytest pytest-xdist hypothesis
	$(JAX_BIN)/python -m pip install --quiet --quiet --no-deps --editable .
	touch $@
