# make demo: the whole main job on this machine. make test: everything CI checks. make help: the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

STATE := .menagerie
VENV := $(STATE)/venv
AIRFLOW := $(VENV)/airflow/bin/python
MODEL := $(VENV)/model/bin/python
PYTHON_VERSION := 3.11
# uv from PATH, or from an environment of its own
UV := $(or $(shell command -v uv 2>/dev/null),$(STATE)/uv/bin/uv)
# a progress bar on a terminal, silence elsewhere
QUIET := $(shell test -t 2 || echo --quiet)
# CPU wheels of torch, without CUDA's 4 GB: UV_TORCH_BACKEND=cpu make lock env (uv reads the variable)

# each in the environment of what it tests
MODEL_TESTS := tests/model_service tests/demo tests/build tests/infra tests/support/gcs tests/test_contract.py tests/test_readme.py
# these are a taste of what they are in a soak
SOAK_TESTS := $(addprefix tests/model_service/test_,sort_killed.py sort_together.py sort_faults.py images_fuzz.py)
AIRFLOW_TESTS := tests/plugins tests/dags tests/cluster tests/support/k8s tests/e2e

.PHONY: help env demo demo-stop test soak check bench lock lock-cpu image clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'
	@echo; echo "make demo takes variables: $(MODEL) -m demo --help"

demo: env ## the whole main job: sample pictures, Airflow, two runs, the website; leaves them running
	@$(MODEL) -m demo up

demo-stop: ## end what make demo started, and nothing else
	@if test -x $(MODEL); then $(MODEL) -m demo stop; else echo "nothing of the demo is running"; fi

test: env $(STATE)/chromium ## unit, integration, DAG, page and end-to-end tests, then ruff and mypy
	OMP_WAIT_POLICY=PASSIVE $(MODEL) -m pytest $(MODEL_TESTS) -n 2 --dist loadfile
	OMP_WAIT_POLICY=PASSIVE $(AIRFLOW) -m pytest $(AIRFLOW_TESTS) -n 2 --dist loadfile
	$(MAKE) --no-print-directory check

soak: env ## the whole of the proofs: kills, sorts at once, faults, damaged files; SOAK=0.1 is a tenth (prints counts)
	MENAGERIE_SOAK=$(or $(SOAK),1) OMP_WAIT_POLICY=PASSIVE $(MODEL) -m pytest $(SOAK_TESTS) -n 2 --dist load -rP --show-capture=stdout

check: env ## ruff (format and lint) and mypy
	$(MODEL) -m ruff format --check .
	$(MODEL) -m ruff check .
	$(MODEL) -m mypy model_service demo infra/build plugins/menagerie_contract
	$(AIRFLOW) -m mypy dags plugins

bench: env ## measure a claim: make bench NAME=parse
	@test -n "$(NAME)" || { echo "make bench NAME=…, one of: $(basename $(notdir $(wildcard bench/*.py)))" >&2; exit 2; }
	@$(if $(filter parse,$(NAME)),$(AIRFLOW),$(MODEL)) bench/$(NAME).py $(ARGS)

env: $(VENV)/airflow/.made $(VENV)/model/.made ## the two environments, from the locks

lock: $(UV) ## make the locks anew from the *requirements.txt and locks/*.in (UPGRADE=--upgrade for newer versions)
	$(UV) pip compile locks/airflow.in -o locks/airflow.txt $(COMPILE)
	$(UV) pip compile requirements.txt -o locks/model.txt $(COMPILE)
	$(UV) pip compile locks/model-dev.in -o locks/model-dev.txt $(COMPILE)
	$(UV) pip compile locks/serve.in -o locks/serve.txt $(COMPILE)
	$(UV) pip compile locks/uv.in -o locks/uv.txt $(COMPILE)

lock-cpu: $(UV) ## lock the train image with PyTorch's CPU wheels (TORCH=cpu) at the versions of locks/model.txt
	$(UV) pip compile requirements.txt -c locks/model.txt -o locks/model-cpu.txt --torch-backend cpu $(COMPILE)

COMPILE = --quiet $(UPGRADE) --universal --python-version $(PYTHON_VERSION) --generate-hashes --no-annotate --no-header

image: ## build both images here and try them (needs Docker with buildx; _TORCH=cpu: without CUDA)
	infra/build/images.sh
	infra/build/smoke.sh

clean: demo-stop ## remove everything made here, .menagerie/ with the demo's data too
	rm -rf $(STATE)

$(STATE)/uv/bin/uv:
	python3 -m venv $(STATE)/uv
	$(STATE)/uv/bin/pip install --quiet uv

# Compiled now: with PYTHONDONTWRITEBYTECODE set, as in many containers, each of the processes that tests and steps start would
# compile all that it imports, seconds long.
$(VENV)/airflow/.made $(VENV)/model/.made: export UV_COMPILE_BYTECODE = 1

$(VENV)/airflow/.made: locks/airflow.txt | $(UV)
	@echo "making the airflow environment …"
	@$(UV) venv --quiet --clear --python $(PYTHON_VERSION) $(@D)
	@$(UV) pip sync $(QUIET) --python $(AIRFLOW) --require-hashes $<
	@touch $@

# The .pth file lets `python -m model_service` find the contract, which stands in plugins/ for Airflow's sake.
$(VENV)/model/.made: locks/model-dev.txt | $(UV)
	@echo "making the model environment (torch: about 5 GB) …"
	@$(UV) venv --quiet --clear --python $(PYTHON_VERSION) $(@D)
	@$(UV) pip sync $(QUIET) --python $(MODEL) --require-hashes $<
	@printf '%s\n' "$(CURDIR)" "$(CURDIR)/plugins" > $(@D)/lib/python$(PYTHON_VERSION)/site-packages/menagerie.pth
	@touch $@

$(STATE)/chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } \
	  || { echo "the page test needs Chromium: install Debian's package chromium, or put chromium on PATH" >&2; exit 1; }
	@mkdir -p $(@D) && touch $@
