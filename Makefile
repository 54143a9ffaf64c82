# make demo    train every stage on the built-in sounds, end with a page to listen to
# make test    the tests (the slow ones: make slow)
# make mutants puts known faults into a copy of the code; each must fail some test
#              (MUTANTS="NAME ...": only these)
# make parity  live comparison with PyTorch, diffusers, transformers, torchmetrics
# make lint    ruff and mypy
# make clean   removes the environment and caches; never runs/ or data/
#
# Each target sets up .venv from the lock by itself; the second call finds it done.

PYTHON ?= python3
# Presets after that of the demo (see configs/): smoke for two minutes of it, or none.
DEMO ?=
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
# Python compiles what it imports; compiling all that is installed takes half a minute
# longer. So let it keep what it compiles, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install \
       --no-compile --constraint constraints.txt
LOCK := constraints.txt setup.py
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test slow mutants parity lint clean

ifeq ($(DEMO),)
PRESET := demo
RUNS := runs/demo
else
PRESET := demo,$(DEMO)
RUNS := runs/demo-$(DEMO)
SIZE := --captions=8 --examples=2
endif
TRAIN := $(BIN)/diffusion-audio train

demo: $(VENV)/.core
	@$(TRAIN) --config=configs/classifier.py:$(PRESET) --workdir=$(RUNS)/classifier
	@$(TRAIN) --config=configs/vae.py:$(PRESET) --workdir=$(RUNS)/vae
	@$(TRAIN) --config=configs/vocoder.py:$(PRESET) --workdir=$(RUNS)/vocoder
	@$(TRAIN) --config=configs/diffusion.py:$(PRESET) --workdir=$(RUNS)/diffusion \
	  --config.components.autoencoder=$(RUNS)/vae \
	  --config.components.vocoder=$(RUNS)/vocoder
	@$(BIN)/diffusion-audio evaluate --model=$(RUNS)/diffusion \
	  --classifier=$(RUNS)/classifier --out=$(RUNS) $(SIZE)

# The fast tests compile more than they compute, so XLA's compiler is told to hurry: no
# optimisation, its older and quicker code generator, no threads for small programs. A
# file read in the encoding of whoever runs it, not in UTF-8, is an error.
HURRY := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
         --xla_cpu_parallel_codegen_split_count=1

test: $(VENV)/.test
	@PYTHONWARNDEFAULTENCODING=1 XLA_FLAGS="$(HURRY)" \
	  $(PYTEST) -n $(WORKERS) --dist loadfile

slow: $(VENV)/.test
	@$(PYTEST) -m "slow and not parity" -n $(WORKERS) --dist loadfile

mutants: $(VENV)/.test
	@$(BIN)/python -m tests.mutants $(MUTANTS)

parity: $(VENV)/.parity
	@$(PYTEST) -m parity tests/parity -n $(WORKERS) --dist loadfile

lint: $(VENV)/.lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	rm -rf .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp a group of packages. Setuptools comes first, from the lock too, so that
# building the package downloads nothing unpinned.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11" >&2; exit 1; }
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.python $(LOCK)
	@echo "installing the package and its dependencies (a minute or two)" >&2
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.parity: $(VENV)/.%: $(VENV)/.core
	@echo "installing what make $* needs" >&2
	@$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@
