# Every target sets up what it needs first; a second run finds it done.
# `make help` lists the targets.

PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format compile docs fuzz soak overload bench bench-instructions gas gas-update slither coverage mutate prove lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## make .venv and node_modules as locked (nothing to do when they are there)
	@toolchain/setup

demo: setup ## the whole journey on a local chain; STAY=1 leaves it running, FLOW=file plays a file of orders, SEED=n another flow
	@$(PYTHON) -m demo $(if $(STAY),--stay) $(if $(FLOW),--flow '$(FLOW)') $(if $(SEED),--seed '$(SEED)') $(if $(ORDERS),--orders '$(ORDERS)') $(if $(FOLDER),--folder '$(FOLDER)')

test: setup ## all tests; PARTS="forge invariants python pure" runs some
	@$(PYTHON) toolchain/run_parts.py test $(PARTS)

lint: setup ## all checks that run nothing; PARTS="mypy imports" runs some
	@$(PYTHON) toolchain/run_parts.py lint $(PARTS)

format: setup ## let the formatters rewrite Python and Solidity
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .
	@toolchain/forge fmt

compile: setup ## compile the contracts with forge and with ape
	@toolchain/forge build
	@.venv/bin/ape compile

fuzz: setup ## property tests with many more inputs, hostile bytes and requests for an hour; SEED=n repeats a run, PARTS="bytes api" runs some
	@$(PYTHON) toolchain/run_parts.py fuzz $(PARTS)

soak: setup ## load a venue and kill every process of it, then compare journal, clients and streams; MINUTES=n (10), KILLS=n (30), SEED=n
	@$(PYTHON) -m bench soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

overload: setup ## offer a venue three times what it can carry, and see who suffers; SECONDS=n (60) or MINUTES=n, TIMES=n (3), SEED=n
	@$(PYTHON) -m bench overload $(if $(MINUTES),--seconds $$(($(MINUTES) * 60)),$(if $(SECONDS),--seconds $(SECONDS))) $(if $(TIMES),--times $(TIMES)) $(if $(SEED),--seed $(SEED))

bench: setup ## compare speed with other engines and with the machine; PARTS="engines stages instructions growth recovery load", WORKLOADS="mixed …|all", FLOW=file, SEED=n, ROUNDS=n
	@toolchain/setup bench
	@$(PYTHON) -m bench all $(if $(PARTS),--parts $(PARTS)) $(if $(WORKLOADS),--workloads $(WORKLOADS)) $(if $(FLOW),--flow '$(FLOW)') $(if $(SEED),--seed '$(SEED)') $(if $(ROUNDS),--rounds '$(ROUNDS)')

bench-instructions: setup ## count the engine's instructions under valgrind, and compare with bench/instructions.json; UPDATE=1 writes it
	@$(PYTHON) -m bench instructions $(if $(UPDATE),--update)

gas: setup ## measure the gas of the Gas tests again, and compare it with tests/forge/gas.snapshot
	@$(PYTHON) toolchain/run_parts.py test gas

gas-update: setup ## measure it again, and write tests/forge/gas.snapshot
	@toolchain/forge snapshot --match-contract Gas --snap tests/forge/gas.snapshot

slither: ## hold what slither finds in the contracts against docs/audit/slither.toml
	@toolchain/setup audit
	@$(PYTHON) toolchain/run_slither.py

coverage: setup ## what the forge tests reach of the contracts: all lines, 95 of 100 branches, or red
	@$(PYTHON) toolchain/check_coverage.py

mutate: ## break Settlement and Vault and see that the forge tests notice; SAMPLE=n of each (150), SEED=n another sample, MINUTES=n at most (60), ASSEMBLY=1 what is written in it, TARGETS="…"
	@toolchain/setup audit
	@set -e; for target in $(or $(TARGETS),Settlement Vault); do \
	  .build/audit/bin/python toolchain/mutate.py $$target $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(ASSEMBLY),--assembly); done

prove: ## prove what tests/halmos claims, for all inputs within the bounds stated there
	@toolchain/setup audit
	@$(PYTHON) toolchain/prove.py

docs: setup ## write docs/api.md, docs/cli.md and docs/metrics.md from the routes, commands and metrics themselves
	@$(PYTHON) toolchain/api_reference.py > docs/api.md
	@$(PYTHON) toolchain/cli_reference.py > docs/cli.md
	@$(PYTHON) toolchain/metrics_reference.py > docs/metrics.md

lock: ## resolve the dependencies anew and write the lock files
	@toolchain/lock

clean: ## remove what was built (not .venv, node_modules, or the accounts in .ape)
	rm -rf .build contracts/.cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
