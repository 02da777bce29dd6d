# Everything a clone needs: `make demo` and `make test` set up .venv themselves.
# Wanted on the machine: Python 3.11.5 or newer with pip, and make.

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
HASHED_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile
COG := $(BIN)/cog -I tools
# Pages with tables that come from the code.
GENERATED := docs/reference/command-line.md docs/reference/recipe.md docs/how-to/install.md
WITH_DATA = $(if $(FINETEXT_DATA),FINETEXT_DATA="$(abspath $(FINETEXT_DATA))" )

.DEFAULT_GOAL := help
.PHONY: help install demo test slow check coverage lowest lint docs format notebooks lock audit licenses sbom wheel \
	peers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

install: .venv/.development ## set up .venv with every extra and the development tools

demo: .venv/.demo ## train on BBC News with the embedded encoder, no network but PyPI
	$(BIN)/finetext demo

test: install lint ## ruff, mypy and pytest; FINETEXT_DATA=FOLDER adds the tests on real data
	$(WITH_DATA)$(PYTEST) -m "not slow"

slow: install ## the tests that `make test` leaves out: whole tutorials, browsers, many processes
	$(WITH_DATA)$(PYTEST) -m slow

# Folders whose tests train nothing and load no torch.
CHECKED := tests/core tests/storage tests/data tests/evaluation tests/test_repository.py

check: install lint ## lint, and the tests that train nothing
	$(PYTEST) -q $(CHECKED)

coverage: install ## the tests of `make test`, and that they run enough of the lines; takes longer
	$(WITH_DATA)$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered

# The extras whose code these tests import.
LOWEST := --extra offline --extra excel --extra export --extra llm --extra polars --extra serve

lowest: .venv/.tools ## tests of core, storage and evaluation with the lowest versions that pyproject.toml allows
	rm -rf .venv/lowest
	$(PYTHON) -m venv .venv/lowest
	.venv/tools/bin/uv pip compile -q pyproject.toml $(LOWEST) --resolution lowest-direct --no-annotate -p .venv/lowest -o .venv/lowest.txt
	.venv/tools/bin/uv pip install -q -p .venv/lowest -r .venv/lowest.txt pytest pytest-xdist hypothesis packaging
	.venv/tools/bin/uv pip install -q -p .venv/lowest --no-deps -e .
	.venv/lowest/bin/finetext --help >/dev/null
	.venv/lowest/bin/python -m pytest -n auto --dist loadfile tests/core tests/storage tests/evaluation

lint: install ## ruff, mypy, the order of the layers, the manual: generated tables, links, its site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(COG) --check $(GENERATED)
	$(BIN)/python tools/build_docs.py
	! command -v actionlint >/dev/null || actionlint

docs: install ## build the site of the manual in site/; look at it with python -m http.server -d site
	$(BIN)/python tools/build_docs.py

format: install ## put the code into the form that lint wants; write the tables of the manual
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(COG) -r $(GENERATED)

notebooks: install ## execute docs/tutorials and store the outputs; FINETEXT_DATA=FOLDER has the data
	$(WITH_DATA)$(BIN)/python benchmarks/notebooks.py

# The tools of the manual need Python 3.11.5, for which the versions are chosen.
lock: .venv/.tools ## renew requirements.lock, the hashes of every file of the versions in constraints.txt
	.venv/tools/bin/uv pip compile -q constraints.txt --no-deps --generate-hashes --universal --python-version 3.11.5 \
		--no-annotate --custom-compile-command "make lock" -o requirements.lock
	.venv/tools/bin/uv pip compile -q --group pyproject.toml:release --generate-hashes --universal --python-version 3.11 \
		--no-annotate --custom-compile-command "make lock" -o requirements-tools.lock

audit: .venv/.tools ## look for known faults of the tested versions in the advisories of PyPI
	.venv/tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

licenses: install .venv/.tools ## compare THIRD_PARTY.md with the licenses of what users install
	$(BIN)/python tools/licenses.py

wheel: .venv/.tools ## build sdist and wheel, install the wheel into an empty environment, and use it there
	.venv/tools/bin/python tools/check_wheel.py

sbom: .venv/.tools ## the same, and a list of the installed packages in dist/sbom.cdx.json (CycloneDX)
	.venv/tools/bin/python tools/check_wheel.py --sbom dist/sbom.cdx.json

peers: install ## set up .peers, the libraries that benchmarks/minutes.py compares finetext with
	$(BIN)/python benchmarks/minutes.py --set-up-peers

clean: ## remove .venv, .peers, caches and builds; runs/ stays
	rm -rf .venv .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5) and "the tested set needs Python 3.11.5 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

# The stamp files are younger than what they were installed from.
.venv/.demo: pyproject.toml constraints.txt | $(BIN)/python
	test -e .venv/.development || $(PIP_INSTALL) -e ".[offline]"
	touch $@

# First torch without CUDA, where an index has it; last what a platform needs beside the tested set, such as CUDA.
.venv/.development: pyproject.toml constraints.txt requirements.lock requirements-cpu.lock | $(BIN)/python
	$(HASHED_INSTALL) -r requirements-cpu.lock || echo "no index has the CPU build of torch: PyPI's is taken"
	$(HASHED_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-build-isolation -e ".[all,dev]"
	touch $@

.venv/.tools: requirements-tools.lock | $(BIN)/python
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements-tools.lock
	touch $@
