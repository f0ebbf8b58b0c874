# Two commands do everything on a machine with nothing but Python >= 3.11: `make verify` and `make test`.
PYTHON ?= python3
ENV := .venv
BIN := $(ENV)/bin
READY := $(ENV)/.ready
TASKS ?= bn-general5 bn-asia mtd-q5-m3 gp-rbf-1d
OUT ?= runs/verify

.PHONY: setup verify test test-all benchmarks lint tolerances clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "veribayes needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# A verdict of any kind is a result: 0 equivalent, 1 different, 3 undecided. Bad input (2), a refused reference (4) and
# unexpected errors (70) fail.
verify: $(READY)
	@$(BIN)/veribayes verify $(TASKS) --out $(OUT) $(ARGS); code=$$?; case $$code in 0|1|3) exit 0 ;; *) exit $$code ;; esac

test: lint
	$(BIN)/python -m pytest -n 2 -m 'not study'

test-all: lint
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmarks: $(READY)
	$(BIN)/python -m benchmarks

tolerances: $(READY)
	$(BIN)/python -m benchmarks.tolerances $(TASKS)

clean:
	rm -rf $(ENV) runs build dist *.egg-info src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
