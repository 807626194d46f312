# make demo   set everything up and run the main job on a real clip
# make test   set everything up, lint, type-check and test
# make gpu    add what an NVIDIA GPU needs
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv

.PHONY: demo test lint bench gpu lock clean

demo: .venv/base
	$(BIN)/flamestream demo

test: lint
	$(BIN)/pytest

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/base
	$(BIN)/python -m benchmarks.pipeline

# What PyPI has for an NVIDIA GPU. TensorRT's library is on NVIDIA's own index; the doctor tells how to add it.
gpu: .venv/gpu
	$(BIN)/flamestream doctor

$(UV):
	$(PYTHON) -c 'import sys; sys.exit("flamestream needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9

.venv/base: $(UV) requirements.lock pyproject.toml
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $@

.venv/dev: .venv/base requirements-dev.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

.venv/gpu: .venv/base requirements-gpu.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --require-hashes -r requirements-gpu.lock
	@touch $@

# Newest versions that fit together, for every supported Python and platform, with hashes.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' pyproject.toml
lock: $(UV)
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --extra dev --constraint requirements.lock -o requirements-dev.lock
	$(COMPILE) --extra gpu --constraint requirements.lock --overrides docker/lock-overrides.txt -o requirements-gpu.lock

clean:
	rm -rf .venv build dist demo-out .mypy_cache .pytest_cache .ruff_cache
