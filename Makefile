# Every task is one short target; continuous integration runs the same ones.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PARTS  := core edge_node replication cloud_node query dashboards compose
JOBS   ?= 2  # tests wait for servers more than for the processor; three side by side made some of them wait too long

.DEFAULT_GOAL := help
.PHONY: help venv servers servers-influx demo test explore test-faults test-compose test-grafana soak compose-program lint types contracts bench bench-faults docs build clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

venv: $(STAMP)  ## make the virtual environment with the package and all its extras

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fleetbox needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing fleetbox and what it needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev]'
	@touch $@

servers: venv  ## find or build the real ReductStore, once per user
	@$(BIN)/fleetbox servers install

servers-influx: venv  ## find or build ReductStore and InfluxDB 2
	@$(BIN)/fleetbox servers install --influx

demo: $(if $(INFLUX),servers-influx,servers)  ## the main job on three tiers of real servers; INFLUX=1 adds InfluxDB
	@$(BIN)/fleetbox demo $(ARGS)

compose-program: venv  ## find `docker compose`, or build it with Go, once per user
	@$(BIN)/python tests/compose_files/compose_program.py

test: servers-influx compose-program lint  ## everything: lint, types, import contracts, tests on real servers
	@$(BIN)/python -m compileall -q $(PARTS)  # tests start many programs, and some machines let none keep its bytecode
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

explore: servers-influx  ## look for what `make test` does not draw: 2,000 examples a property, another seed each time
	@$(BIN)/python -m pytest -n $(JOBS) --randomly-seed=$$(date +%s) --hypothesis-profile=explore -m "hypothesis and not slow" $(ARGS)

test-faults: servers-influx  ## the whole fault matrix on real servers, about half an hour
	@$(BIN)/python -m pytest tests/faults -m "not soak" $(ARGS)
	@$(BIN)/python -m pytest tests --ignore=tests/faults -m "faults and not soak" $(ARGS)

test-compose: servers-influx  ## the compose files on a Docker engine, with stand-ins where images cannot be pulled
	@$(BIN)/python tests/compose_files/run.py $(ARGS)

test-grafana: servers-influx  ## the boards on a real Grafana: set GRAFANA_URL and GRAFANA_TOKEN
	@$(BIN)/python -m pytest tests/dashboards/test_grafana.py -rs $(ARGS)

soak: servers-influx  ## the long ones: outages of millions, hundreds of kills; hours
	@$(BIN)/python -m pytest tests -m soak $(ARGS)
	@$(BIN)/python -c 'from bench import reconcile; print(*reconcile.run(records=1_000_000), sep="\n")'

lint: venv  ## style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j2 types contracts

types: venv
	@$(BIN)/mypy

contracts: venv
	@$(BIN)/lint-imports

bench: servers-influx  ## measure, as ratios against the raw client in the same run
	@$(BIN)/python -m bench $(ARGS)

bench-faults: servers  ## the same faults, the engine alone and with fleetbox, as the README's table
	@$(BIN)/python -m bench.faults $(ARGS)

docs: venv  ## write docs/cli.md from the commands themselves
	@$(BIN)/python docs/make_cli.py

build: venv  ## build the wheel and the source archive
	@$(BIN)/python -m build

clean:  ## remove what builds and tests left here
	@rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis fleetbox-demo
