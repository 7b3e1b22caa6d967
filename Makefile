# Each target does its own set-up: a virtual environment in .venv, with the versions of constraints.txt.
# Use another interpreter with `make test PYTHON=python3.12`. Examples take options: `make warcraft ARGS="--epochs 1"`.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# TensorFlow beside OR-Tools changes where programs are solved: it has an environment of its own.
FRONTENDS := $(VENV)-frontends

EXPERIMENTS := $(patsubst examples/%/main.py,%,$(wildcard examples/*/main.py))

.PHONY: help $(EXPERIMENTS) warcraft-jax warcraft-keras roads custom map noise explain vae relations mazes results test test-frontends quick check wheel bench bench-parts bench-frontends clean

help:
	@echo "make warcraft   train the Warcraft example, results in runs/warcraft"
	@echo "make warcraft-jax, make warcraft-keras  the same on other front ends; KERAS_BACKEND names Keras's backend"
	@echo "make roads      train the road network example, results in runs/road_network"
	@echo "make custom     run the example of a solver of one's own"
	@echo "make map        paths on a map under noise, and the map learned from one; results in runs/map_demo"
	@echo "make noise      measure noises and gradient estimators, results in runs/noise_study"
	@echo "make explain    choose the words that explain, results in runs/learning_to_explain"
	@echo "make vae        train an auto-encoder with a discrete code, results in runs/discrete_vae"
	@echo "make relations  interactions of particles from their tracks, results in runs/relational_inference"
	@echo "make mazes      plan in mazes by learned costs, results in runs/maze_planning"
	@echo "make parsing    which words of a sentence depend on which, as trees; results in runs/parsing"
	@echo "                all of these by the names of folders, too: make map_demo"
	@echo "                and with options: make warcraft ARGS=\"--epochs 1\", or ARGS=--help"
	@echo "make results    make docs/results.md of docs/results; ARGS=\"runs/warcraft\" stores that run first"
	@echo "make test       all tests"
	@echo "make test-frontends  the tests of other front ends than PyTorch's: JAX, and Keras on each backend"
	@echo "make quick      the tests that take no more than a few seconds each"
	@echo "make check      linter, formatter, types and whether all that is public has one, import contracts"
	@echo "make wheel      build wheel and sdist, and try the wheel in an empty environment"
	@echo "make bench      compare everything with what else there is, in about five minutes; results in runs/bench"
	@echo "make bench-parts  measure kernels, workers, noise, the layer, integer programs and a training step"
	@echo "make bench-frontends  measure a step of each front end"
	@echo "make clean      remove the environment and everything that was built"

# By the names of their folders, or shorter ones.
$(EXPERIMENTS): $(VENV)/.examples
	$(RUN) examples/$@ $(ARGS)

# Other front ends have an environment of their own.
warcraft-jax warcraft-keras: $(FRONTENDS)/.made
	$(FRONTENDS)/bin/python examples/warcraft --frontend $(@:warcraft-%=%) $(ARGS)

roads: road_network
custom: custom_solver
map: map_demo
noise: noise_study
explain: learning_to_explain
vae: discrete_vae
relations: relational_inference
mazes: maze_planning

results: $(VENV)/.examples
	$(RUN) -m examples.results $(ARGS)

test: $(VENV)/.dev
	$(RUN) -m pytest -n auto --maxprocesses 8 --dist loadfile

test-frontends: $(FRONTENDS)/.made
	$(FRONTENDS)/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal \
		tests/jax tests/keras tests/host tests/adapters/ilp/test_outside.py tests/project/test_readme.py

quick: $(VENV)/.dev
	$(RUN) -m pytest -n auto --maxprocesses 8 --dist loadfile -m "not slow"

check: $(VENV)/.dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	for package in imle_solvers imle_adapters; do \
		found=$$(PATH=$$(cd $(VENV)/bin && pwd):$$PATH PYRIGHT_PYTHON_IGNORE_WARNINGS=1 \
			$(RUN) -m pyright --ignoreexternal --verifytypes $$package) || { echo "$$found"; exit 1; }; \
	done
	$(VENV)/bin/lint-imports

bench: $(VENV)/.bench
	mkdir -p runs/bench
	$(RUN) benchmarks/compare.py --json runs/bench/bench.json --chart runs/bench/bench.png $(BENCH)

bench-parts: $(VENV)/.bench
	$(RUN) benchmarks/bench_kernels.py
	$(RUN) benchmarks/bench_dispatch.py
	$(RUN) benchmarks/bench_noise.py
	$(RUN) benchmarks/bench_layer.py
	$(RUN) benchmarks/bench_diagnostics.py
	$(RUN) benchmarks/bench_ilp.py
	$(RUN) benchmarks/bench_training.py

bench-frontends: $(FRONTENDS)/.made
	$(FRONTENDS)/bin/python benchmarks/bench_frontends.py

# The wheel must work where nothing but its own dependencies is installed.
wheel: $(VENV)/.dev
	rm -rf dist build/wheel-venv
	$(RUN) -m build
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet -c constraints.txt dist/*.whl
	cd build && wheel-venv/bin/python -I ../tests/check_installed.py

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "imle-solvers needs Python 3.11 or newer: make ... PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.examples: $(VENV)/.made pyproject.toml constraints.txt
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[examples]"
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[examples,dev]"
	touch $@

$(FRONTENDS)/.made: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(FRONTENDS)
	$(FRONTENDS)/bin/python -m pip install --quiet -c constraints.txt -e ".[examples,examples-jax,dev,jax,keras]" tensorflow-cpu
	touch $@

$(VENV)/.bench: $(VENV)/.made pyproject.toml constraints.txt
	$(RUN) -m pip install --quiet -c constraints.txt -e ".[examples,dev,bench]"
	touch $@

clean:
	rm -rf $(VENV) $(FRONTENDS) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
