# make book    the site, in _build/html/index.html      make test    format, lint, types, tests, chapters
# make verify  chapters against their recorded outputs  make record  refresh those records
# make bench   ratios of speed                          make browser open the built site in Chromium
# make soak    kills, fuzz, sanitizers                  make gpu     tests that need a CUDA device
# make scale-test  OLMo-core, make gpu-rehearsal, and   make slurm-test  a Slurm of this machine alone (as root, on Debian)
# make portable  laws, chapters, models and kernels as on other machines (MACHINES="blas-zen torch-avx2" or "--list")
# make pins    versions of .venv's packages, hashes    make picture the README's figure
# Each target sets up .venv first if necessary. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
STEP := @tools/step

# The build neither reads nor writes the home folder, so a user's Jupyter or matplotlib settings cannot change a page.
HOUSE := $(CURDIR)/_build/house
export IPYTHONDIR := $(HOUSE)/ipython
export JUPYTER_CONFIG_DIR := $(HOUSE)/jupyter
export JUPYTER_DATA_DIR := $(HOUSE)/jupyter-data
export JUPYTER_RUNTIME_DIR := $(HOUSE)/jupyter-runtime
export JUPYTER_PLATFORM_DIRS := 1
export MPLCONFIGDIR := $(HOUSE)/matplotlib
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: help setup book test verify record portable bench browser soak gpu scale-test slurm-test gpu-rehearsal pins picture clean

help:
	@sed -n '1,8s/^# //p' Makefile

setup: .venv/installed
	@mkdir -p $(IPYTHONDIR)/profile_default
	@echo 'c.IPKernelApp.log_level = 40  # no warning about local sockets at every chapter' \
		> $(IPYTHONDIR)/profile_default/ipython_kernel_config.py

# Every file is checked by its hash. torch is the CPU's build if an index has it (PIP_EXTRA_INDEX_URL may name one).
INSTALL := $(BIN)/pip install --quiet --no-deps
LOCKED := $(INSTALL) --require-hashes
.venv/installed: pyproject.toml $(wildcard requirements/*.txt)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python" >&2; exit 2; }
	$(STEP) "make .venv with $(PYTHON)" $(PYTHON) -m venv .venv
	$(STEP) "install pinned packages" $(LOCKED) -r requirements/all.txt
	$(STEP) "install torch" sh -c '$(LOCKED) -r requirements/torch-cpu.txt 2>/dev/null || $(LOCKED) -r requirements/torch.txt'
	$(STEP) "install this package" $(INSTALL) --no-build-isolation -e .
	@$(BIN)/pip check
	@touch $@

book: setup
	$(STEP) "build the book" $(BIN)/python tools/build_book.py

test: setup
	$(STEP) "format" $(BIN)/ruff format --check src tests tools conftest.py
	$(STEP) "lint" $(BIN)/ruff check src tests tools conftest.py
	$(STEP) "types" $(BIN)/mypy
	$(STEP) "public data" $(BIN)/python tools/public_data.py
	$(STEP) "chapters to notebooks" $(BIN)/python tools/chapters.py notebooks _build/notebooks
	$(STEP) "tests and chapters" $(BIN)/pytest -m "not browser and not soak and not slurm and not olmo_core" --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=600 --durations=10 tests _build/notebooks

verify: setup
	$(STEP) "execute chapters and compare" $(BIN)/python tools/chapters.py verify

record: setup
	$(STEP) "execute chapters and record" $(BIN)/python tools/chapters.py record

portable: setup
	$(STEP) "other machines" $(BIN)/python tools/portable.py $(MACHINES)

bench: setup
	@for b in experiments/benchmarks/*.py; do test -e "$$b" || { echo "no benchmarks yet"; break; }; \
		tools/step "$$b" $(BIN)/python "$$b" || exit 1; done

browser: setup
	$(STEP) "the site in a browser" $(BIN)/pytest -m browser tests/book

soak: setup
	$(STEP) "kill a run fifty times" $(BIN)/pytest -m soak -s tests
	$(STEP) "fuzz the readers" env MOE_LIB_FUZZ=300 $(BIN)/pytest tests/fuzz
	$(STEP) "kernels under sanitizers" tools/sanitized $(BIN)/python -m pytest tests/native tests/model/test_native.py

gpu: setup
	$(STEP) "tests on a CUDA device" $(BIN)/pytest -m gpu -rs tests

# Packages for these tests alone; some are older than those of .venv, so they are in a folder of their own.
OLMO := _build/olmo-core
$(OLMO)/installed: requirements/olmo-core.txt .venv/installed
	@rm -rf $(OLMO)
	$(STEP) "install OLMo-core" $(LOCKED) --target $(OLMO) -r requirements/olmo-core.txt
	@touch $@

scale-test: setup $(OLMO)/installed
	$(STEP) "train with OLMo-core" env PYTHONPATH=$(CURDIR)/$(OLMO) $(BIN)/pytest -m olmo_core tests/scale
	@$(MAKE) --no-print-directory gpu-rehearsal
	@$(MAKE) --no-print-directory slurm-test

gpu-rehearsal: setup
	$(STEP) "rehearse the GPU's command on the CPU" $(BIN)/python tools/gpu_rehearsal.py

slurm-test: setup
	$(STEP) "a sweep on Slurm" tools/slurm_cluster $(BIN)/pytest -m slurm tests/scale

pins: setup
	$(STEP) "install uv" $(LOCKED) -r requirements/uv.txt
	$(STEP) "pin every package" $(BIN)/python tools/pins.py

picture: setup
	$(STEP) "draw the picture of the README" $(BIN)/python tools/picture.py

clean:
	rm -rf _build
