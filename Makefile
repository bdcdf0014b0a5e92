# The developer's commands: `make help` lists them.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
LOWEST := .venv-lowest
LOWEST_INSTALLED := $(LOWEST)/.installed
# What test-lowest runs: make test-lowest LOWEST_TESTS=tests/integration/outbox
LOWEST_TESTS ?= tests/unit tests/integration
# What test-pythons looks for, versions or paths, and what it runs: make test-pythons PYTHONS="3.10 3.14"
PYTHONS ?= 3.10 3.11 3.12 3.13 3.14
PYTHONS_TESTS ?= tests/unit
# What `make services` starts: none is the usual three; make services SERVICES="rabbitmq redis nats zookeeper etcd mysql rocketmq pgbouncer connect opensearch"
SERVICES ?=
# What test-everywhere works with in the place of PyMySQL and psycopg: make test-everywhere DRIVERS="mysqlclient psycopg2"
DRIVERS ?=
SERVICES_TOOL := $(PYTHON) -m tools.services
# Three on two processors: many tests wait for a server or for a moment.
TOGETHER := $(RUN) -m pytest tests/chaos tests/acceptance tests/unit tests/integration \
	-n 3 --dist loadfile --no-loadscope-reorder --durations=25
# The suite of publishers on Kafka, a minute and more for both clients.
KAFKA_SUITE := tests/integration/integrations/kafka/test_kafka_suite.py
# Leaves the demo's dashboard up until Ctrl-C: make demo KEEP=1
KEEP ?=
DEMO := $(RUN) -m examples.registration_demo $(if $(filter-out 0 no,$(KEEP)),--keep)
# The tests start hundreds of processes, which are not to compile the package each.
unexport PYTHONDONTWRITEBYTECODE

# Passed on to pytest: make test PYTEST_ARGS="-k heads -x"
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install services services-down test test-everywhere test-lowest test-pythons chaos plans check format bench docs demo demo-real clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with asyncflow, its extras and the tools

$(INSTALLED): pyproject.toml $(wildcard setup.py)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "asyncflow needs Python 3.10 or later: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) lacks the venv module: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[all]' --group dev --group rocketmq
	@touch $@

services: ## start MariaDB, PostgreSQL and Kafka for the tests, or SERVICES="rabbitmq redis nats zookeeper etcd mysql rocketmq pgbouncer connect opensearch"
	@$(SERVICES_TOOL) up $(SERVICES)

services-down: ## stop the services that were started; their data stay
	@$(SERVICES_TOOL) down $(SERVICES)

# Three files at a time, the longest first; then one by one those that measure how fast something is. 5: none fits PYTEST_ARGS.
test: install services ## run every test but the long ones, against real services
	@status=0; \
	$(TOGETHER) -m 'not long and not alone' $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	$(RUN) -m pytest tests/chaos -m 'alone and not long' --durations=10 $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	echo "the services stay up for the next run: make services-down stops them"; exit $$status

# What runs on other databases is left out by tests/support/databases.py, whatever PYTEST_ARGS choose.
test-everywhere: install services ## run the integration tests with MySQL itself in the place of MariaDB, and with every driver
	@$(SERVICES_TOOL) up mysql pgbouncer
	@$(RUN) -m pip install --quiet --group drivers
	@$(RUN) -m pip install --quiet --group drivers-compiled || echo "mysqlclient could not be compiled here: its tests are skipped"
	@status=0; \
	$(RUN) -m pytest $(KAFKA_SUITE) -m 'long or not long' $(PYTEST_ARGS) || [ $$? -eq 5 ] || status=1; \
	ASYNCFLOW_TEST_MYSQL_AS_MARIADB=1 ASYNCFLOW_TEST_DRIVERS="$(DRIVERS)" $(RUN) -m pytest tests/integration -n 3 --dist loadfile --durations=25 \
		-m 'not long' $(PYTEST_ARGS) || status=1; \
	exit $$status

# pip gives up the search for tools that go with old libraries; uv finds them in seconds.
$(LOWEST_INSTALLED): $(INSTALLED) pyproject.toml tools/lowest.py
	$(RUN) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(RUN) -m tools.lowest >$(LOWEST)/constraints.txt
	env $${PIP_INDEX_URL:+UV_DEFAULT_INDEX="$$PIP_INDEX_URL"} $${PIP_CERT:+SSL_CERT_FILE="$$PIP_CERT"} \
		$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--constraints $(LOWEST)/constraints.txt --editable '.[all]' --group dev
	@touch $@

test-lowest: $(LOWEST_INSTALLED) services ## run unit and integration tests with the lowest versions of all dependencies
	@$(LOWEST)/bin/python -m pytest $(LOWEST_TESTS) -n 3 --dist loadfile -m 'not long' $(PYTEST_ARGS)

test-pythons: install ## run the unit tests with each version of Python that is on this machine, or that Debian has
	@$(RUN) -m pip install --quiet uv
	@$(RUN) -m tools.pythons $(PYTHONS) -- $(PYTHONS_TESTS) -n 3 --dist loadfile -m 'not long' $(PYTEST_ARGS)

chaos: install services ## kill processes and services under load, for minutes
	@$(RUN) -m pytest tests/chaos tests/unit/models -m 'long or not long' $(PYTEST_ARGS)

plans: install services ## rows examined at 10,000 task types and plans for 11 million rows, for minutes
	@$(RUN) -m pytest tests/integration/speed -m 'long or not long' $(PYTEST_ARGS)

check: install ## check format, lint, types and the law of imports
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m tools.typing_calls
	$(VENV)/bin/lint-imports

format: install ## format the code and mend what the linter can
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

bench: install services ## measure every figure beside its rival: an hour; a table, a JSON file, charts
	@$(RUN) -m pip install --quiet --group bench
	@$(RUN) -m benchmarks all

docs: install ## build the documentation's site into site/, strictly
	@$(RUN) -m pip install --quiet --group docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet
	@echo "the site is in site/index.html; $(RUN) -m mkdocs serve shows it while you write"

demo: install ## register users and watch coupons and points arrive; needs no service; KEEP=1 leaves its page up
	@$(DEMO)

demo-real: install services ## the same with the real databases and Kafka
	@$(DEMO) --real

clean: ## stop the services; delete their data, .venv and what tools left behind
	@$(SERVICES_TOOL) remove
	rm -rf $(VENV) $(LOWEST) .venv-* .pythons .services build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
