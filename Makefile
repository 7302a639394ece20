# Two commands do everything: `make demo` and `make test`. PYTHON, VENV and WORKERS may be overridden.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PY := $(VENV)/bin/python
CODE := geostyle tests transfer.py train_geo.py data_gen benchmarks examples docs
TYPED := geostyle transfer.py train_geo.py data_gen/make.py tests/reliability benchmarks

.DEFAULT_GOAL := help
.PHONY: help setup demo studio test slow lint format bench figures stages coverage mutants kill torchrun
.PHONY: disk folds fuzz studio-times studio-load degenerate build wheel-test docs gallery clean

help:  ## list the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# Stamp files: set-up runs once, and again when a lock changes.
$(VENV)/.run-stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "geostyle needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r requirements.lock
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.studio-stamp: $(VENV)/.run-stamp requirements-studio.lock
	$(PY) -m pip install --quiet -r requirements-studio.lock
	@touch $@

$(VENV)/.dev-stamp: $(VENV)/.run-stamp requirements-studio.lock requirements-dev.lock
	$(PY) -m pip install --quiet -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.dev-stamp  ## create .venv with the pinned dependencies and the tools

demo: $(VENV)/.run-stamp  ## run the main job on the bundled pictures
	$(PY) -m geostyle demo

studio: $(VENV)/.studio-stamp  ## open the studio in a browser; STUDIO holds its flags
	$(PY) -m geostyle studio $(STUDIO)

test: $(VENV)/.dev-stamp  ## run the test suite
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist worksteal

slow: $(VENV)/.dev-stamp  ## run the tests that take a minute or more
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -m slow --timeout 1800

lint: $(VENV)/.dev-stamp  ## check style, formatting and types
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m mypy $(TYPED)

format: $(VENV)/.dev-stamp  ## fix style and formatting
	$(PY) -m ruff check --fix $(CODE)
	$(PY) -m ruff format $(CODE)

bench: $(VENV)/.run-stamp  ## compare texture transfer with the plain recipe; BENCH holds its flags (minutes)
	$(PY) benchmarks/texture.py $(BENCH)

figures: $(VENV)/.dev-stamp  ## list the figures of the documents; measure again what is older than the code (hours)
	$(PY) benchmarks/figures.py
	OMP_NUM_THREADS=1 $(PY) benchmarks/figures.py make

stages: $(VENV)/.run-stamp  ## time the stages of the main job
	$(PY) benchmarks/stages.py

studio-times: $(VENV)/.dev-stamp  ## time the studio in a browser, which must be there (minutes)
	OMP_NUM_THREADS=1 $(PY) benchmarks/studio.py

coverage: $(VENV)/.dev-stamp  ## run the test suite and list the lines of the library it misses
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist worksteal --timeout 600 \
		--cov=geostyle --cov-report=term-missing:skip-covered --cov-fail-under=95

mutants: $(VENV)/.dev-stamp  ## mutation tests of the geometric core (an hour)
	OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run --max-children $(WORKERS)
	$(VENV)/bin/mutmut results

kill: $(VENV)/.dev-stamp  ## kill the long commands at random moments and compare (minutes)
	$(PY) tests/reliability/kill.py

torchrun: $(VENV)/.dev-stamp  ## kill one process of a distributed training and compare (minutes)
	$(PY) tests/reliability/torchrun.py

disk: $(VENV)/.dev-stamp  ## fill the disk during the long commands and compare (minutes)
	$(PY) tests/reliability/disk.py

folds: $(VENV)/.dev-stamp  ## count the folds that the guard leaves in ten thousand warps (an hour)
	$(PY) tests/reliability/folds.py

fuzz: $(VENV)/.dev-stamp  ## give every reader thousands of damaged files (minutes)
	$(PY) tests/reliability/fuzz.py

studio-load: $(VENV)/.dev-stamp  ## 20 visitors of a studio, lost connections, damaged uploads, kills (minutes)
	OMP_NUM_THREADS=1 $(PY) tests/reliability/studio_load.py

degenerate: $(VENV)/.dev-stamp  ## transfer degenerate pictures, some of 8000 px (minutes)
	$(PY) tests/reliability/degenerate.py

$(VENV)/.docs-stamp: $(VENV)/.run-stamp requirements-docs.lock
	$(PY) -m pip install --quiet -r requirements-docs.lock
	@touch $@

docs: $(VENV)/.docs-stamp  ## build the documentation into site/, every link checked
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "site/index.html; to search it: $(PY) -m http.server --directory site"

gallery: $(VENV)/.run-stamp  ## make the pictures of the gallery; goes on where it was stopped (hours)
	$(PY) examples/gallery.py

$(VENV)/.release-stamp: $(VENV)/.run-stamp requirements-release.lock
	$(PY) -m pip install --quiet -r requirements-release.lock
	@touch $@

build: $(VENV)/.release-stamp  ## build the wheel and the source archive into dist/, and check their metadata
	rm -rf dist build
	$(PY) -m build --no-isolation --outdir dist . >/dev/null
	$(PY) -m twine check --strict dist/*

wheel-test: build  ## install the wheel elsewhere, without tools, cache or home, and make a picture (minutes)
	$(PY) tests/reliability/wheel.py dist/*.whl

clean:  ## remove everything that can be made again, .venv included
	rm -rf $(VENV) build dist site mutants .coverage *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
