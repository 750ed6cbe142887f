# `make` lists the targets. Each one makes its own environment in .venv, once; Python 3.11 and git are all it needs.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-accounts load clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: export HF_HUB_OFFLINE = 1
demo: $(READY) ## generate data, train, evaluate, bundle and score in a few minutes, without a network
	@echo "== 1 of 3: a look at the generated data, in $(DEMO)/data"
	$(BIN)/stillwatch data build --config configs/dataset.yaml --set sources.0.num_requests=3000 --out $(DEMO)/data
	$(BIN)/stillwatch data describe $(DEMO)/data
	@echo "== 2 of 3: train on some families, measure on others, seal a bundle, register it"
	$(BIN)/stillwatch train --config configs/demo.yaml
	@echo "== 3 of 3: score requests with the new bundle"
	$(BIN)/stillwatch score --table --bundle $(DEMO)/bundle configs/demo_requests.jsonl
	@echo
	@echo "Where to look next:"
	@echo "  $(BIN)/stillwatch runs ui     prints the command that opens the run's page: parameters, curves, plots"
	@echo "  $(DEMO)/results.json           every figure with its interval, beside the baselines"
	@echo "  $(DEMO)/bundle/MODEL_CARD.md   what the bundle is for, and what it falls short of"
	@echo "  README.md                     scoring at a gateway, training on your own rows"

test: $(READY) ## run the unit tests, then the slow ones
	$(BIN)/pytest -m "not slow" -n 2
	$(BIN)/pytest -m slow

lint: $(READY) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## measure the budgets as ratios within one run, beside peers and this machine's floor
	$(BIN)/python tests/bench/ratios.py

bench-accounts: $(READY) ## send a million accounts through one scorer: pace, memory, bounds; half an hour, 3 GiB
	$(BIN)/python tests/bench/million_accounts.py

load: $(READY) ## load a real service for half an hour: throughput, latency, memory, overload, a SIGTERM
	$(BIN)/python tests/load/measure.py

clean: ## remove what the tools build; .venv and runs stay
	rm -rf build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find data model train serve tests -type d -name __pycache__ -prune -exec rm -rf {} +

# An editable install remembers which folders have an __init__.py.
$(READY): pyproject.toml constraints.txt $(wildcard */__init__.py)
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv, once; a few minutes"
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@
