# What a fresh machine needs: python 3.11 or later, pip and make. `make demo` shows the main job, `make test` the evidence.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check docs docs-update constraints system-tools clean

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := $(VENV)/bin
JOBS ?= 2
ENVIRONMENT := $(VENV)/.weighbridge

# uv does not read pip's configuration; where pip knows a folder of wheels, uv is told of it.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
export UV_PROJECT_ENVIRONMENT := $(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Commands are measured in fractions of a second: nothing is left to be compiled at their first start.
export UV_COMPILE_BYTECODE := 1
# A virtual environment that happens to be active is not the one meant here.
unexport VIRTUAL_ENV

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(ENVIRONMENT)-demo ## admit a real language model, refuse a booby-trapped one
	@$(BIN)/weighbridge demo

test: $(ENVIRONMENT)-dev system-tools ## run the whole suite
	@$(BIN)/python -m pytest -n $(JOBS) tests

check: $(ENVIRONMENT)-dev ## style, types, layers, dependencies, dead code, documentation
	@failed=""
	for step in "ruff check" "ruff format --check" "mypy" "lint-imports" "deptry src" "vulture" "python docs/generate.py --check"; do
	  echo "$$step"
	  $(BIN)/$$step || failed="$$failed, $$step"
	done
	[ -z "$$failed" ] || { echo "failed: $${failed#, }" >&2; exit 1; }

docs: $(ENVIRONMENT)-dev ## check that the generated parts of the documentation are current
	@$(BIN)/python docs/generate.py --check

docs-update: $(ENVIRONMENT)-dev ## write the generated parts of the documentation anew
	@$(BIN)/python docs/generate.py

constraints: $(ENVIRONMENT)-dev ## write constraints.txt anew from what uv resolves
	@head -n 3 constraints.txt > constraints.new
	@$(BIN)/uv export -q --no-hashes --no-annotate --no-header --no-emit-project --extra demo --group dev \
	  | grep -vE "'never'|^(torch|triton|nvidia-|cuda-)" >> constraints.new
	@mv constraints.new constraints.txt

# Tests that need these say so in their skip when they are missing; nothing else depends on them.
system-tools:
	@missing=""
	command -v strace >/dev/null || missing="$$missing strace"
	command -v bwrap >/dev/null || missing="$$missing bubblewrap"
	command -v mkfs.xfs >/dev/null || missing="$$missing xfsprogs"
	[ -n "$$missing" ] || exit 0
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	  export DEBIAN_FRONTEND=noninteractive
	  if { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1; then exit 0; fi
	fi
	echo "not installed, tests that need it are skipped:$$missing (Debian packages)"

clean: ## remove the environment and every cache
	rm -rf $(VENV) .ruff_cache .mypy_cache .pytest_cache .hypothesis .import_linter_cache

$(ENVIRONMENT)-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "weighbridge needs Python 3.11 or later; name one: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -qq uv || echo "uv cannot be installed, going on with pip" >&2
	touch $@

$(ENVIRONMENT)-demo: $(ENVIRONMENT)-python pyproject.toml
	@$(call environment,--extra demo --no-default-groups)
	touch $@

$(ENVIRONMENT)-dev: $(ENVIRONMENT)-python pyproject.toml constraints.txt
	@$(call environment,--extra demo --group dev)
	touch $@ $(ENVIRONMENT)-demo

# $(1): what uv shall sync. Inexact, so that a demo environment can grow into a test environment and keeps uv itself.
# Without uv, pip installs the closed list of constraints.txt, which serves every target.
define environment
echo "making the environment in $(VENV)" >&2
if [ -x $(BIN)/uv ] && $(BIN)/uv sync --quiet --inexact $(1); then :; else \
  echo "uv gave no environment, installing constraints.txt with pip" >&2; \
  $(BIN)/python -m pip install -qq --no-deps -r constraints.txt; \
  $(BIN)/python -m pip install -qq --no-deps -e .; \
fi
$(BIN)/python -m compileall -qq src
endef

.ONESHELL:
