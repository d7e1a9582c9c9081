# Every target works from a fresh clone: it first builds .venv when that is missing or out of date.
# Everything lives in .venv/ and .forthwith/.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A test that hangs shows where, and fails.
UNHUNG := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true
SOURCES := src app tests benchmarks tools hatch_build.py

# pip stays quiet and installs, into .venv and into the build's own environment, nothing but what
# constraints.txt pins. (Newer pips read the build's constraints from a variable of their own. Both split
# their value at spaces, hence no absolute path.)
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help setup demo test durability bench results lint format build clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Pass options with ARGS, for example: make test ARGS='-k lease -x'; make demo ARGS=--exit"

setup: $(INSTALLED) ## Build .venv (Python 3.11 or later; choose one with PYTHON=...)

$(INSTALLED): pyproject.toml constraints.txt tools/setup.sh hatch_build.py frontend/package-lock.json
	@sh tools/setup.sh
	@touch $@

demo: $(INSTALLED) ## Show the reference application at work, with a worker killed half-way
	@$(BIN)/python -m app.demo $(ARGS)

test: $(INSTALLED) ## Run all tests, on all cores
	@$(BIN)/python -m tools.browser
	@$(BIN)/pytest -n logical --maxprocesses 8 $(UNHUNG) $(ARGS)

durability: $(INSTALLED) ## Do every fault, the long ones too, with many seeds (about 30 minutes)
	@$(BIN)/python -m tools.durability $(ARGS)

bench: $(INSTALLED) ## Compare throughput and latency with other job queues
	@$(BIN)/python -m benchmarks $(ARGS)

results: $(INSTALLED) ## Run both founding suites; write TEST_RESULTS.md and TESTING_SUMMARY.md
	@$(BIN)/python -m tools.results $(ARGS)

lint: $(INSTALLED) ## Check style, format, types and the direction of imports
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

build: $(INSTALLED) ## Build the wheel, install it elsewhere and run it
	@sh tools/check_wheel.sh

clean: ## Remove everything that make has made (a running embedded PostgreSQL is stopped first)
	@sh tools/clean.sh
