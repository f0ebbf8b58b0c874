# Two commands do everything on a machine with nothing but Python >= 3.11: `make verify` and `make test`.
PYTHON ?= python3
ENV := .venv
BIN := $(ENV)/bin
READY := $(ENV)/.ready
TASKS ?= bn-general5 bn-asia mtd-q5-m3 gp-rbf-1d
SBI := runs/sbi-env
PFNS := runs/pfns/packages

.PHONY: setup verify test test-all test-newest benchmarks acceptance lint reference-tables tolerances calibration sbi-table clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "veribayes needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(ENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# A verdict of any kind is a result: 0 equivalent, 1 different, 3 undecided. Bad input (2), a refused reference (4) and
# unexpected errors (70) fail.
verify: $(READY)
	@$(BIN)/veribayes verify $(TASKS) $(if $(OUT),--out $(OUT)) $(ARGS); code=$$?; case $$code in 0|1|3) exit 0 ;; *) exit $$code ;; esac

# The short suite compiles much and computes little. So here XLA leaves out LLVM's optimisations, takes its older emitters and cuts
# no program into parts: whitened HMC is compiled in 1.6 CPU seconds instead of 5.3. The studies run what users run.
QUICK_XLA := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
test: lint
	XLA_FLAGS="$${XLA_FLAGS:-$(QUICK_XLA)}" $(BIN)/python -m pytest -n 2 -m 'not study'

test-all: lint
	$(BIN)/python -m pytest -n 2

# Without constraints, on every Python that is here, in fresh environments: about ten minutes and 6 GB each, one after another.
test-newest:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "needs Python 3.11 or newer: make PYTHON=python3.11 test-newest"; exit 2; }
	$(PYTHON) -m benchmarks.newest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.house

benchmarks: $(ENV)/.peers $(PFNS)/.ready
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.training $(PFNS)

reference-tables: $(READY)
	$(BIN)/python -m benchmarks.reference_tables --write

acceptance: $(READY)
	$(BIN)/python -m benchmarks.acceptance $(ARGS)

# Of every shipped task, or of those that TASKS names.
tolerances: $(READY)
	$(BIN)/python -m benchmarks.tolerances $(if $(filter-out file,$(origin TASKS)),$(TASKS))

# Size and power of every test, and sbi's diagnostics on the same planted posteriors, into docs/calibration.md.
calibration: $(READY) sbi-table
	$(BIN)/veribayes calibrate-tests
	$(BIN)/python -m benchmarks.calibration_page

# sbi has an environment of its own: it is a peer to compare with, and no dependency.
sbi-table: $(SBI)/.ready
	PYTHONPATH=src $(SBI)/bin/python -m benchmarks.sbi_peer

$(SBI)/.ready: constraints.txt
	$(PYTHON) -m venv $(SBI)
	$(SBI)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch sbi==0.27.0
	@touch $@

# gpytorch and blackjax, beside the peers that tests need too.
$(ENV)/.peers: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

# pfns beside the environment, not in it: of what it asks for, its training loop needs einops alone that is not there already.
$(PFNS)/.ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PFNS) pfns==0.4.2 einops==0.8.2
	@touch $@

clean:
	rm -rf $(ENV) runs build dist *.egg-info src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
