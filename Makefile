# One entrance to everything; `make` alone prints this list.
# The commands are Python without any dependency (tools/devstack), so nothing must be installed.

SHELL := /bin/bash
DEVSTACK := PYTHONPATH=tools/devstack/src$(if $(PYTHONPATH),:$(PYTHONPATH)) python3 -m devstack
VENV := venv/bin/
UNIT := libs/*/tests/unit service-*/tests/unit tools/*/tests/unit tests/architecture
export ARGS SERVICE M STACK YES FROM NAME SIDES SINGULAR OBSERVE

.DEFAULT_GOAL := help
.PHONY: help start stop restart rebuild status logs logs-orders logs-processor demo dev doctor \
        test test-unit test-orders test-processor test-libs test-versions servers servers-stop \
        bench pictures screenshots chaos lint types format contracts migrate migrate-orders migrate-processor migration domain seed republish-restaurants audit outbox venv install lock \
        audit-dependencies secrets clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

start: ## bring up the whole system and return when it is ready (STACK=native|docker; OBSERVE=1: with Prometheus)
	@$(DEVSTACK) start
stop: ## end everything that start started; the data stays
	@$(DEVSTACK) stop
restart: ## stop, then start
	@$(DEVSTACK) restart
rebuild: ## install the local packages (or build the images) again, then restart
	@$(DEVSTACK) rebuild
status: ## every process with its state, ports and health
	@$(DEVSTACK) status
logs: ## the logs of everything, followed on a terminal
	@$(DEVSTACK) logs
logs-orders: ## the logs of service-orders
	@$(DEVSTACK) logs --service orders
logs-processor: ## the logs of service-processor
	@$(DEVSTACK) logs --service processor
demo: ## drive every flow of the running system and print each call with its answer
	@$(DEVSTACK) demo
dev: ## start, follow the logs and restart a service when its code changes
	@$(DEVSTACK) dev
doctor: ## find what is wrong with this machine or checkout, and say the fix
	@$(DEVSTACK) doctor

test: ## all tests, on a PostgreSQL and a RabbitMQ of their own (ARGS="-k word")
	@$(DEVSTACK) test --args="$$ARGS"
test-unit: venv ## the tests that need no server (ARGS="-k word")
	@$(VENV)pytest -q -n 2 --dist loadgroup $(UNIT) $$ARGS
test-orders: ## the tests of service-orders
	@$(DEVSTACK) test --part orders --args="$$ARGS"
test-processor: ## the tests of service-processor
	@$(DEVSTACK) test --part processor --args="$$ARGS"
test-libs: ## the tests of libraries, tools and the layout's rules
	@$(DEVSTACK) test --part libs --args="$$ARGS"
servers: ## start a PostgreSQL and a RabbitMQ for pytest and leave them running
	@$(DEVSTACK) servers
servers-stop: ## stop the servers of `make servers`
	@$(DEVSTACK) servers --stop
test-versions: ## the library's wheel on its lowest and newest versions (ARGS="--whole --python python3.13")
	@$(DEVSTACK) test-versions $$ARGS
bench: venv ## ratios, each beside what it compares with (ARGS="drain latency" ROUNDS=3)
	@$(VENV)python -m bench --rounds $${ROUNDS:-1} $$ARGS
pictures: venv ## draw the pictures of docs/benchmarks.md (ARGS="RESULTS.json FOLDER"; else the latest)
	@$(VENV)pip install --quiet --disable-pip-version-check --require-hashes -r requirements/pictures.txt
	@$(VENV)python -m bench.pictures $$ARGS
screenshots: venv ## pictures of the console's pages, of a system in trouble (ARGS=FOLDER; needs chromium)
	@PYTHONPATH=tests $(VENV)python -m kit.console.screenshots $$ARGS
chaos: venv ## the long randomised runs (counts in chaos/counts.sh)
	@. chaos/counts.sh && $(DEVSTACK) test --args="-s chaos tests/e2e tests/hostile_http tests/security \
	 service-processor/tests/postgres/test_concurrent_seating.py service-orders/tests/postgres/test_tickets_at_once.py $$ARGS"
lint: venv ## ruff and the import rules
	@$(VENV)ruff check .
	@$(VENV)ruff format --check .
	@$(VENV)lint-imports
types: venv ## mypy --strict, tests included
	@$(VENV)mypy libs/*/src service-*/src tools/*/src bench chaos libs/*/tests tools/*/tests tests conftest.py
	@# One run for each: the modules of two services' tests have the same names.
	@for tests in service-*/tests; do $(VENV)mypy $$tests || exit 1; done
format: venv ## let ruff format and fix what it can
	@$(VENV)ruff format .
	@$(VENV)ruff check --fix .

contracts: venv ## write missing golden samples of events, and docs/asyncapi.yaml
	@$(VENV)python -m contracts

migrate: ## both schemas to head
	@$(DEVSTACK) migrate
migrate-orders: ## the schema of service-orders to head
	@$(DEVSTACK) migrate --service orders
migrate-processor: ## the schema of service-processor to head
	@$(DEVSTACK) migrate --service processor
migration: ## write a migration from the tables: make migration SERVICE=orders M="add a column"
	@$(DEVSTACK) migration --service "$$SERVICE" --message "$$M"
domain: ## write a new domain: make domain NAME=parcels SIDES=orders,processor (the sender first; REPLIES=yes: both send)
	@$(DEVSTACK) domain --name "$$NAME" --sides "$$SIDES" --singular "$$SINGULAR" --replies "$$REPLIES"

seed: ## put in five demo restaurants, once (the first `make start` does)
	@$(DEVSTACK) seed
republish-restaurants: ## emit all restaurants and tables again, for a copy that is rebuilt
	@$(DEVSTACK) republish-restaurants
audit: ## print every event again, from FROM=first, an offset or a time (2026-11-21T06:00:00Z) on
	@$(DEVSTACK) audit
outbox: ## inspect or repair a service's outbox: make outbox SERVICE=orders ARGS="status" (docs/cli.md)
	@$(DEVSTACK) outbox --service "$$SERVICE" --args="$$ARGS"

venv: ## make venv/ what the lock files say
	@$(DEVSTACK) venv
install: venv ## the same as venv
lock: ## resolve requirements/*.in into new hashed lock files (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@for name in runtime dev pictures traces; do uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	  requirements/$$name.in -o requirements/$$name.txt || exit 1; done
audit-dependencies: ## known vulnerabilities of what is locked (needs pip-audit and its data)
	@.ci/audit-dependencies
secrets: ## fill a new folder with passwords of its own: SECRETS_DIR=/a/new/folder make secrets
	@$(DEVSTACK) secrets
clean: ## remove all data (.local) and venv/, after asking (YES=1 does not ask)
	@$(DEVSTACK) clean
