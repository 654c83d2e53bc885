# Needs python3 (3.11 to 3.14) with venv and pip; everything else comes into .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help run test check bench model schedules

help: ## Say what the commands do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

run: $(VENV)/.installed-run ## Start two appliances on this machine, paired and with demo content; Ctrl-C stops them
	@exec $(PY) manage.py pair

test: $(VENV)/.installed-dev ## Run everything: lint, types, import contracts, all tests with two real appliances
	@sh deploy/install-test-packages.sh
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest -m e2e; ended=$$?; \
		$(PY) -m pytest -m "not e2e" --numprocesses auto --dist loadfile && exit $$ended

check: $(VENV)/.installed-dev ## Run what takes less than three minutes: as test, without the slow ones
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest -m "not e2e and not slow" --numprocesses auto --dist loadfile

bench: $(VENV)/.installed-dev ## Measure how long a planned swap of roles is felt
	@$(PY) deploy/bench/switch.py

model: $(VENV)/.installed-dev ## Search all that can happen to a pair of appliances, and for every planted bug
	@DJANGO_SETTINGS_MODULE=tests.settings $(PY) -m tests.simulation

schedules: $(VENV)/.installed-dev ## Run 5000 random schedules of faults, swaps and data-syncs on a simulated pair
	@$(PY) -m tests.simulation.schedules --count 5000

.PHONY: lint
lint: $(VENV)/.installed-dev
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-cache >$(VENV)/.contracts || { cat $(VENV)/.contracts; exit 1; }

# Everything is installed from a lock with hashes, and again only when the lock has changed.
$(VENV)/.installed-run: requirements.lock | $(PY)
	@echo "Installing what the product needs into $(VENV) ..."
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock | $(PY)
	@echo "Installing what the product and its tests need into $(VENV) ..."
	@$(PY) -m pip install --quiet --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || \
		{ echo "Python 3.11 to 3.14 is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
