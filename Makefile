# Works from a bare machine with make and Python 3.11 or newer. Everything it makes is in .venv/
# (the environment) and .tools/ (uv, unless it is on PATH already).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint format dashboard api bench faults mutants soak screenshots lock clean

# The first interpreter that is new enough; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; assert sys.version_info >= (3, 11); print(sys.executable)' \
	2>/dev/null && break; done)

CHECK_PYTHON = "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Conduit needs Python 3.11 or newer, and none was found (python3 is" \
	"$$( (python3 --version || echo missing) 2>/dev/null)). Install it, or name it:" \
	"make PYTHON=/path/to/python3.11" >&2; exit 1; }

SYSTEM_UV := $(shell uv --version >/dev/null 2>&1 && command -v uv)
UV := $(or $(SYSTEM_UV),.tools/uv)
UV_BOOTSTRAP := $(if $(SYSTEM_UV),,.tools/uv)

RUN := .venv/bin/python
# An editable install points at this folder: a moved or copied tree must not trust its stamps.
HERE := $(shell pwd | cksum | cut -d' ' -f1)
RUN_STAMP := .venv/run-$(HERE).stamp
DEV_STAMP := .venv/dev-$(HERE).stamp
LOCKS := requirements
# What the dashboard is made of: its build is part of Conduit's own.
DASHBOARD := hatch_build.py $(shell find dashboard \( -name node_modules -o -name __pycache__ \) -prune -o -type f -print)
PYTEST_ARGS ?= -n auto
LOCK_ARGS ?=
BENCH ?= sqlite redis
PEERS ?=
SEED ?=
MUTANTS ?=
SEEDS ?=
PAIRS ?=
SCENARIO ?=
MINUTES ?=

# Use the interpreter found above, never a download; an index chosen for pip serves uv, too.
export UV_PYTHON_DOWNLOADS := never
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# In a container a user may have no home of their own.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export UV_CACHE_DIR ?= $(CURDIR)/.tools/cache
endif
# pyright would ask the network whether a newer version exists.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "make %-11s %s\n", $$1, $$2}'

demo: $(RUN_STAMP) ## Run the example service to its end
	$(RUN) examples/demo.py

test: lint ## Run lint and every test
	$(RUN) -m tests.dashboard.chromium
	$(RUN) dashboard/bundle.py test
	$(RUN) -m pytest $(PYTEST_ARGS)

lint: $(DEV_STAMP) ## Check style, types and the direction of imports
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pyright
	$(RUN) .venv/bin/lint-imports --no-logo
	$(RUN) dashboard/bundle.py check

format: $(DEV_STAMP) ## Fix what ruff can fix
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .

dashboard: $(RUN_STAMP) ## Build the dashboard, unless it is current
	$(INSTALL_CONDUIT)
	@test -f src/conduit/server/dashboard/index.html

api: $(DEV_STAMP) ## Write the dashboard's types anew from the server's OpenAPI document
	$(RUN) dashboard/bundle.py api

# `make bench BENCH=redis PEERS=saq,arq` runs a part; BENCH=lock writes the peers' locks anew.
bench: $(DEV_STAMP) ## Measure Conduit beside its peers
	$(RUN) -m benchmarks $(BENCH) --uv "$(UV)" $(if $(PEERS),--peers $(PEERS))

# `make faults SEED=7` runs one seed, `SEEDS=1-5 PAIRS=sqlite,always-postgres` a part; without them
# there are twenty seeds, on every pair of stores.
faults: $(DEV_STAMP) ## Run the fault laboratory: kills, freezes, cuts, and a checker
	$(RUN) -m tests.faults.lab --results docs/faults.md $(if $(SEED)$(SEEDS),--seeds $(or $(SEED),$(SEEDS))) \
		$(if $(PAIRS),--pairs $(PAIRS)) $(if $(SCENARIO),--scenario $(SCENARIO))

# `make mutants MUTANTS=acknowledged-before-the-commit SEEDS=3` tries one, at three seeds.
mutants: $(DEV_STAMP) ## Spoil the sources on purpose: the laboratory and the tests have to notice
	$(RUN) -m tests.faults.mutants $(MUTANTS) $(if $(SEEDS),--seeds $(SEEDS))

soak: $(DEV_STAMP) ## Run mixed load with faults for MINUTES=60, and see that nothing grows
	$(RUN) -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

screenshots: dashboard ## Take the pictures of the dashboard in docs/images/ anew
	$(RUN) -m tests.dashboard.chromium
	$(RUN) -m tests.dashboard.screenshots

# `make lock` keeps versions that still fit; `make lock LOCK_ARGS=--upgrade` takes the newest.
COMPILE = "$(UV)" pip compile --quiet --python "$(PYTHON)" --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header $(LOCK_ARGS)

lock: $(UV_BOOTSTRAP) ## Write requirements/*.txt anew from pyproject.toml
	@$(COMPILE) pyproject.toml --all-extras --group dev -o $(LOCKS)/dev.txt
	@$(COMPILE) pyproject.toml --all-extras -c $(LOCKS)/dev.txt -o $(LOCKS)/run.txt
	@$(COMPILE) --group demo -c $(LOCKS)/dev.txt -o $(LOCKS)/demo.txt
	@$(COMPILE) --group build -o $(LOCKS)/build.txt
	@$(COMPILE) --group bootstrap -o $(LOCKS)/bootstrap.txt

clean: ## Remove everything that make and the tools have made
	rm -rf .venv .venv-bench .tools .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	rm -rf dashboard/node_modules src/conduit/server/dashboard
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

INSTALL_CONDUIT = echo "installing Conduit, with its dashboard: a minute or two the first time" && \
	"$(UV)" pip install --quiet --python $(RUN) --no-deps --reinstall-package conduit \
	--build-constraints $(LOCKS)/build.txt --editable . && $(RUN) dashboard/bundle.py status

$(RUN_STAMP): $(LOCKS)/run.txt $(LOCKS)/demo.txt $(LOCKS)/build.txt pyproject.toml $(DASHBOARD) | .venv/bin/python
	"$(UV)" pip install --python $(RUN) --require-hashes -r $(LOCKS)/run.txt -r $(LOCKS)/demo.txt
	@$(INSTALL_CONDUIT)
	@touch $@

# `sync` also removes what the lock no longer names, so an undeclared import fails here first.
$(DEV_STAMP): $(LOCKS)/dev.txt $(LOCKS)/build.txt pyproject.toml $(DASHBOARD) | .venv/bin/python
	"$(UV)" pip sync --python $(RUN) --require-hashes $(LOCKS)/dev.txt
	@$(INSTALL_CONDUIT)
	@touch $(RUN_STAMP) $@

.venv/bin/python: | $(UV_BOOTSTRAP)
	@$(CHECK_PYTHON)
	rm -rf .venv
	"$(UV)" venv --quiet --python "$(PYTHON)" .venv

# Debian ships Python without ensurepip unless python3-venv is installed: pip alone will do.
.tools/uv: $(LOCKS)/bootstrap.txt
	@$(CHECK_PYTHON)
	@echo "uv isn't on PATH: installing it into .tools/"
	@rm -rf .tools && mkdir .tools
	@if "$(PYTHON)" -c 'import ensurepip' 2>/dev/null && "$(PYTHON)" -m venv .tools/venv; then \
		.tools/venv/bin/python -m pip install --quiet --require-hashes -r $< && \
		ln -s venv/bin/uv $@; \
	elif "$(PYTHON)" -m pip --version >/dev/null 2>&1; then \
		"$(PYTHON)" -m pip install --quiet --require-hashes --target .tools/packages -r $< && \
		ln -s packages/bin/uv $@; \
	else \
		echo "Neither venv nor pip works with $(PYTHON). Install python3-venv, python3-pip or uv," \
			"then run make again." >&2; exit 1; \
	fi
