# Uses the virtual environment in .venv where there is one.
BIN := $(if $(wildcard .venv/bin/python),.venv/bin/)
PYTHON := $(if $(BIN),$(BIN)python,python3)
# Measures every Python process that the tests start, in the same run.
MEASURED := COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_FILE=$(CURDIR)/.coverage
PYTEST := $(PYTHON) -m pytest -n auto --dist worksteal

.PHONY: check lint test proofs fmt bench demo

check: lint  ## everything that CI runs
	$(PYTHON) -m coverage erase
	$(MEASURED) $(PYTEST)
	$(PYTHON) -m coverage combine --quiet
	$(PYTHON) -m coverage report

lint:  ## format, lint, types, contracts
	.ci/lint

test:  ## the tests alone
	$(PYTEST)

proofs:  ## at full length: the whole year, 100,000 steps, more kills, everything on each database; tells its figures
	MILEPOST_PROOFS=full $(PYTHON) -m pytest -rP --timeout 0 tests/scenarios
	MILEPOST_PROOFS=full $(PYTHON) -m pytest --timeout 0 tests/simulation tests/infrastructure tests/interfaces tests/browser

fmt:  ## put the format right, and what the linter can
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

bench:  ## needs the extra `bench`
	$(PYTHON) -m benchmarks

demo:
	$(BIN)milepost demo
