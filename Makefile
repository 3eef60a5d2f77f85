# Uses the virtual environment in .venv where there is one.
BIN := $(if $(wildcard .venv/bin/python),.venv/bin/)
PYTHON := $(if $(BIN),$(BIN)python,python3)
PYTEST := $(PYTHON) -m pytest -n auto --dist worksteal

.PHONY: check lint test proofs fmt bench demo

check: lint  ## everything that CI runs
	$(PYTEST) --cov --cov-report=term

lint:  ## format, lint, types, contracts
	.ci/lint

test:  ## the tests alone
	$(PYTEST)

proofs:  ## at full length: the whole year, 100,000 steps, more kills, everything on each database; tells its figures
	MILEPOST_PROOFS=full $(PYTHON) -m pytest -rP --timeout 0 tests/scenarios
	MILEPOST_PROOFS=full $(PYTHON) -m pytest --timeout 0 --ignore tests/scenarios

fmt:  ## put the format right, and what the linter can
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

bench:  ## needs the extra `bench`
	$(PYTHON) -m benchmarks

demo:
	$(BIN)milepost demo
