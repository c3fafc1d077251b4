# Every command of the project. Each does its own set-up; `make` alone lists them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROGRAM := $(VENV)/.program
PEERS := .peers
PEER_NAMES := mock-bank localstripe iso8583sim wechatpay alipay alipay-official
PEER_STAMPS := $(PEER_NAMES:%=$(PEERS)/%/.installed) $(PEERS)/node/.installed
PYTHON ?= python3
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11
PYTEST_ARGS ?=
# Files of tests go to several processes, each with a database server of its own; most of them wait most of the time.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup run test check bench soak format lint types contracts migrations peers clean
.PHONY: style quick whole looks pictures

step = @printf '== %s\n' '$(1)'

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## make .venv and install everything into it (repeat runs cost nothing)
	@printf 'ready: %s, %s\n' '$(VENV)' "$$($(BIN)/python --version)"

run: $(PROGRAM) ## start the whole system on this machine (FRESH=1 forgets the old data)
	@$(BIN)/tongbao run $(if $(filter-out 0,$(FRESH)),--fresh)

test: style lint types contracts migrations whole ## everything that continuous integration runs

check: style lint types contracts migrations quick ## the same with the fast tests only

bench: $(STAMP) ## measure the ledger beside its references; the last line is JSON
	@$(BIN)/tongbao bench ledger --json

soak: $(STAMP) ## the long forms of the tests
	$(call step,soak)
	@$(BIN)/pytest -m nightly $(PYTEST_ARGS)

format: $(STAMP) ## rewrite the files in the one format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lint: $(STAMP) ## look for common mistakes
	$(call step,lint)
	@$(BIN)/ruff check --output-format concise .

types: $(STAMP) ## check the types, strictly
	$(call step,types)
	@$(BIN)/mypy

contracts: $(STAMP) ## check who may import whom
	$(call step,contracts)
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) \
		&& printf '%s\n' "$$out" | sed -n 's/^Contracts: //p' || { printf '%s\n' "$$out"; exit 1; }

migrations: $(STAMP) ## check that the schema runs on every engine
	$(call step,migrations)
	@$(BIN)/python -m tongbao.core.migrations.lint

peers: $(PEER_STAMPS) ## install the programs that tests talk to, each apart from the project

looks: $(STAMP) ## look at every page in every mode and language
	@TONGBAO_LOOKS=all $(BIN)/pytest tests/faces -n 2 --dist loadfile $(PYTEST_ARGS)

pictures: $(STAMP) ## take the pictures of the README
	@$(BIN)/pytest tests/faces/pictures.py

clean: ## remove the environment and all caches, never the data in .tongbao
	@rm -rf $(VENV) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

style: $(STAMP)
	$(call step,format)
	@$(BIN)/ruff format --check --output-format concise . || { echo 'mend it with: make format'; exit 1; }

quick: $(STAMP)
	$(call step,fast tests)
	@$(BIN)/pytest -m 'not slow and not nightly' $(PARALLEL) $(PYTEST_ARGS)

whole: $(STAMP) peers
	$(call step,tests)
	@$(BIN)/pytest -m 'not nightly' $(PARALLEL) $(PYTEST_ARGS)

# Wheels only, so that no compiler is needed; the project itself is linked in place.
$(PROGRAM): pyproject.toml constraints.txt
	$(call step,set-up: a minute the first time)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		found=; for python in $(PYTHONS); do \
			if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
				found="$$python"; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo 'Tongbao needs Python 3.11 or newer. Install it, or name it: make setup PYTHON=/path/to/python3'; \
			exit 1; \
		fi; \
		"$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; \
	}
	@$(BIN)/python -m pip install --quiet --only-binary :all: -c constraints.txt -e .
	@$(BIN)/python -m tongbao.risk.models.warming
	@touch $@

# What is needed to work on the program, beside what runs it.
$(STAMP): $(PROGRAM)
	$(call step,tools of development: another minute the first time)
	@$(BIN)/python -m pip install --quiet --only-binary :all: -c constraints.txt -e '.[dev]'
	@touch $@

# What tests talk to never shares an environment with the project: two of them install a module of the same name,
# and some have licences that forbid importing them. A peer that cannot be installed is skipped with its reason.
$(PEERS)/%/.installed: tests/peers/%.txt | $(STAMP)
	$(call step,peer $*)
	@$(BIN)/python -m venv --clear $(PEERS)/$*
	@$(PEERS)/$*/bin/python -m pip install --quiet --no-compile -r $< \
		|| echo 'peer $* could not be installed; its tests will be skipped'
	@touch $@

$(PEERS)/node/.installed: tests/peers/package.json
	$(call step,peers from npm)
	@mkdir -p $(PEERS)/node && cp $< $(PEERS)/node/package.json
	@if command -v npm >/dev/null 2>&1; then \
		npm install --prefix $(PEERS)/node --silent --no-audit --no-fund --no-package-lock \
			|| echo 'peers from npm could not be installed; their tests will be skipped'; \
	else echo 'no npm here: the tests of its peers will be skipped'; fi
	@touch $@
