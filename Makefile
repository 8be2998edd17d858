# The verbs of the book. `make` alone prints them.
.DEFAULT_GOAL := help
.PHONY: help book test test-browser lighthouse pdf execute reference sweep mutants lab copies preview lint bench clean lock writable

CHAPTER ?=
SEEDS ?= 20
JOBS ?= 2
ONLY ?=
LAB_ARGS ?=
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; exit; }; done; \
	command -v python3 || echo missing)

# With the conda environment of environment.yml active, the verbs use it; else they make .venv from requirements.lock.
CONDA_NAME := $(shell sed -n 's/^name: *//p' environment.yml)
ifeq ($(CONDA_DEFAULT_ENV),$(CONDA_NAME))
RUN := python
READY := writable
else
RUN := .venv/bin/python
READY := writable .venv/ready
endif

NOTEBOOK = $(or $(wildcard chapters/$(CHAPTER)*.ipynb),$(error \
	CHAPTER must be the start of a notebook's name in chapters/, got $(CHAPTER)))

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

writable:
	@test -w . || { echo "make: this folder is not writable; copy it to one that is" >&2; exit 1; }

.venv/ready: requirements.lock pyproject.toml nbval-tolerance/pyproject.toml | writable
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "set-up: no Python was found ($(PYTHON)); install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) tools/setup.py

book: $(READY)  ## render the HTML book into _book/ (with quarto if it is on PATH, else with render/)
	@if command -v quarto >/dev/null; then \
		quarto render --to html && echo "rendered by Quarto, which is on PATH: open _book/index.html"; \
	else $(RUN) -m render && echo "(Quarto is not on PATH, so the book's own render/ was used)"; fi

# One thread a worker: the workers are parallel already, and torch's threads would wait for each other by spinning.
test: export OMP_NUM_THREADS ?= 1
test: $(READY)  ## run the unit tests and every chapter, comparing each printed estimate (CHAPTER=05 for one)
	@$(RUN) -m pytest -n $(if $(CHAPTER),0,$(JOBS)) --dist loadscope --no-loadscope-reorder $(if $(CHAPTER),$(NOTEBOOK))

test-browser: $(READY)  ## open every page in Chromium: links, search, themes, phone layout, accessibility
	@$(RUN) -m tools.chromium && $(RUN) -m pytest tests/browser -n $(JOBS) -k "$(ONLY)"

lighthouse: $(READY)  ## measure speed and accessibility of the pages of render/ with Lighthouse (needs Chromium and npx)
	@$(RUN) -m tools.lighthouse

pdf: $(READY)  ## print the pages of render/ into one PDF, _book.pdf (needs Chromium)
	@$(RUN) -m tools.pdf

execute: $(READY)  ## run the chapters that changed and store their outputs (CHAPTER=05 for one)
	@$(RUN) -m tools.execute --chapter "$(CHAPTER)" && $(RUN) -m tools.report && $(RUN) -m tools.reference

reference: $(READY)  ## rewrite the reference of helpers from its docstrings (make execute does it too)
	@$(RUN) -m tools.reference

sweep: $(READY)  ## run every chapter with SEEDS=20 other seeds; the estimates must agree and the z-scores be normally distributed
	@$(RUN) -m tools.sweep --seeds $(SEEDS) --jobs $(JOBS) --chapter "$(CHAPTER)"

mutants: $(READY)  ## put each fault of tests/mutants.toml into a copy: tests and chapters must fail (ONLY=graph for some)
	@$(RUN) -m tools.mutants --jobs $(JOBS) --only "$(ONLY)"; code=$$?; $(RUN) -m tools.report; exit $$code

copies: $(READY)  ## run the readers' copies of the rendered chapters, each in a folder of its own (CHAPTER=13 for one)
	@$(RUN) -m tools.copies --chapter "$(CHAPTER)"

# A reader's own changes stay: a copy that is there already is not replaced.
lab: $(READY)  ## open JupyterLab with readers' copies and chapters (LAB_ARGS="--port 9999 --no-browser" for its options)
	@test -n "$$(ls _book/chapters/*.ipynb 2>/dev/null)" || $(MAKE) book
	@mkdir -p notebooks && for copy in _book/chapters/*.ipynb; do \
		test -e "notebooks/$${copy##*/}" || cp "$$copy" notebooks/; done
	@echo "notebooks/ holds the readers' copies, to read and to change (delete one to get a fresh copy);"
	@echo "chapters/ holds the sources of the book, with Quarto's markup, for authors"
	@$(RUN) -m jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks \
		$$([ "$$(id -u)" != 0 ] || echo --allow-root) $(LAB_ARGS)

preview: $(READY)  ## serve the book and render again on a change
	@if command -v quarto >/dev/null; then quarto preview; else $(RUN) -m render.preview; fi

lint: $(READY)  ## check source and notebooks with ruff
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check .

bench: $(READY) build/peers/ready  ## measure the speed, next to other libraries, and write it into the page on performance
	@PYTHONPATH=build/peers $(RUN) -m benchmarks

build/peers/ready: benchmarks/peers.txt
	@$(RUN) -m pip install --quiet --no-deps --upgrade --target build/peers --requirement $< || \
		echo "bench: the peers could not be installed; the table will leave them out" >&2
	@mkdir -p build/peers && touch $@

clean:  ## remove what was built (never a notebook; .venv stays)
	@rm -rf _book _book.pdf .quarto .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

lock:  ## rewrite requirements.lock from pyproject.toml, for the oldest Python (asks the package index)
	@python3.11 tools/lock.py
