# Everything that people and machines type. The virtual environment is .venv/; what a run writes is under var/ (or $ATRIUM_VAR).
.PHONY: help demo run test check bench artifact synth deploy-check
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/.run
DEV := .venv/.dev
DEPLOY := deploy/.venv/bin
CLOUD := deploy/.venv/.installed

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | awk -F '\t' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(RUN)  ## a simulated mall on the embedded database: 60 days of history, then live; prints an address and a login; Ctrl-C stops it
	@$(BIN)/python manage.py demo

run: $(RUN)  ## everything, without demonstration data; Ctrl-C stops it
	@$(BIN)/python manage.py run

test: $(DEV)  ## every test, the browser's included
	@.ci/browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(DEV)  ## formatting, lint, types, import floors, migrations, documentation: what needs no database
	@$(BIN)/ruff format --check --quiet . || { echo "Run .venv/bin/ruff format . to mend this."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy engagement analytics notifications operations
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@$(BIN)/python -m pytest -q tests/engagement/test_documentation.py

bench: $(DEV)  ## this product beside the plain way, as a table and as var/bench.json
	@$(BIN)/python -m tests.bench $(ARGS)

artifact: $(DEV)  ## the release as machines install it, under var/artifact
	@$(BIN)/python deploy/artifact.py $(ARGS)

synth: $(CLOUD)  ## the templates of AWS into var/deploy, without an account and without a network
	@$(DEPLOY)/python -m deploy.app

deploy-check: $(CLOUD)  ## the templates made twice and compared, linted and tried, offline
	@$(DEPLOY)/python -m deploy.checks

$(RUN): requirements.txt
	@PYTHON=$(PYTHON) .ci/environment requirements.txt $@

$(DEV): requirements-dev.txt requirements.txt
	@PYTHON=$(PYTHON) .ci/environment requirements-dev.txt $@
	@touch $(RUN)

$(CLOUD): deploy/requirements.txt
	@PYTHON=$(PYTHON) .ci/environment deploy/requirements.txt $@ deploy/.venv
