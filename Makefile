# Every target does its own set-up. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUTO ?=
INVENTORY ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo down test check lint fmt bench fuzz generate lock clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## Make the virtual environment from the lock file

$(VENV)/.ready: pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || deploy/system-packages.sh venv
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup ## Run the whole story on this machine: AUTO=1 approves by itself, INVENTORY=my.yml uses your engines
	@deploy/system-packages.sh demo
	@exec $(BIN)/python -m demo up $(if $(AUTO),--auto) $(if $(INVENTORY),--inventory "$(INVENTORY)")

down: setup ## End everything that `make demo` started
	@$(BIN)/python -m demo down

test: setup ## Lint, types and all tests: what CI runs
	@deploy/system-packages.sh test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -m "not demo" --numprocesses 2 --dist loadfile
	@$(BIN)/python -m pytest -m demo tests/loop

lint: setup ## Style, types, import contract, generated files
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/optiinfra build rules --check
	@$(BIN)/optiinfra build dashboards --check
	@$(BIN)/optiinfra build docs --check
	@$(BIN)/optiinfra build knobs --check
	@$(BIN)/optiinfra build playbooks --check

fmt: setup ## Format and mend what can be mended
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

generate: setup ## Write the generated rules, dashboards and container configuration anew
	@$(BIN)/optiinfra build rules
	@$(BIN)/optiinfra build dashboards
	@$(BIN)/optiinfra build docs
	@$(BIN)/optiinfra build knobs
	@$(BIN)/optiinfra build playbooks
	@$(BIN)/python deploy/compose/derive.py

bench: setup ## Print the figures of the benchmarks
	@for file in bench/*_bench.py; do echo "== $$file"; $(BIN)/python -m "bench.$$(basename $$file .py)" || exit 1; done

fuzz: setup ## Throw damaged input at what reads foreign bytes, for some minutes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-fuzz.lock
	@$(BIN)/python -m fuzz

lock: setup ## Resolve the dependencies anew
	@$(BIN)/python deploy/lock.py

clean: ## Remove the virtual environment and run-time files
	@rm -rf $(VENV) run dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
