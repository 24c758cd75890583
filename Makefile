# Everything a newcomer needs is here. GNU make and Python 3.11+ are all a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help venv browser hsm programs demo test test-hsm test-cluster test-cluster-long test-long fuzz serve bench lint format docs clean

##@ Start here
demo: $(READY) ## set up, run the main job once on loopback, explain what happened
	@$(BIN)/tillit demo

test: $(READY) ## set up, run every check and test in its short form
	@$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not long and not cluster"

##@ Daily work
serve: $(READY) ## run the service in development mode on http://127.0.0.1:8080
	$(BIN)/tillit serve --dev --port 8080 --data .data --workers 2

lint: $(READY) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## let ruff put the source in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## render the pages that are made from the code
	$(BIN)/python -m tillit.attestation.rules_page > docs/rules.md
	$(BIN)/python tests/support/pages.py
	PYTHONPATH=tests $(BIN)/python -m support.evidence_page

bench: $(READY) ## tokens per second, and the ratio to the crypto floor
	$(BIN)/python -m benchmarks

test-long: $(READY) ## the full counts, recorded in docs/evidence/
	$(BIN)/python -m pytest -q -m "long and not cluster"

test-hsm: $(READY) ## the tests with a security module; without SoftHSM2 (make hsm) they fail
	@REQUIRE_SOFTHSM=1 $(BIN)/python -m pytest -q -m "hsm and not long"

test-cluster: programs ## the tests with many hosts, in network namespaces; no root where the kernel allows that
	@tests/cluster/in_namespaces.sh $(BIN)/python -m pytest -q -m "cluster and not long" tests/cluster

test-cluster-long: programs ## their full counts, recorded in docs/evidence/
	@tests/cluster/in_namespaces.sh $(BIN)/python -m pytest -q -m "cluster and long" tests/cluster

fuzz: $(READY) ## ten minutes of coverage-guided fuzzing, counted in docs/evidence/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	$(BIN)/python -m tests.fuzz.atheris_campaign --seconds 600

##@ Set-up
venv: $(READY) ## the set-up alone

browser: ## Debian's Chromium, which the browser tests need
	@tests/browser/get_chromium.sh

programs: $(READY) ## Debian's nginx and libfaketime, which tests of the deployment and with many hosts need
	@tests/cluster/get_programs.sh

hsm: ## Debian's SoftHSM2, which the tests with a security module need
	@tests/support/get_softhsm.sh

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[server]" --group dev
	@touch $(READY)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

help: ## this page
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*##/ {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
