# Every target makes .venv first where it is missing. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
TESTS ?= tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo report test check format lint types schemas fault-test cluster-test bench dist environment clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/.core: setup.py constraints.txt
	@echo "installing into $(VENV): a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(BIN)/.dev: $(BIN)/.core
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(BIN)/.train: $(BIN)/.core
	@echo "installing torch, for the students: minutes where it comes with GPU libraries"
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[train]'
	@touch $@

demo: $(BIN)/.core  ## simulate a log, build all samples, report, train two students (no Java)
	@test -e $(BIN)/.train || $(MAKE) --no-print-directory report
	@$(MAKE) --no-print-directory $(BIN)/.train
	$(RUN) rankdistill demo

report: $(BIN)/.core  ## the same up to the report, for which torch need not be fetched
	$(RUN) rankdistill demo

test: $(BIN)/.dev  ## all tests; Spark's run where Java 17+ is found
	$(RUN) pytest -n 2 $(TESTS)

check: lint types test  ## format, lint, types, tests

format: $(BIN)/.dev  ## format the code
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

lint: $(BIN)/.dev  ## format and lint, changing nothing
	$(RUN) ruff format --check .
	$(RUN) ruff check .

types: $(BIN)/.dev  ## types
	$(RUN) mypy

schemas: $(BIN)/.core  ## write schemas/config.schema.json and docs/schemas.md anew
	$(RUN) rankdistill.schema_pages

fault-test: $(BIN)/.dev  ## the long repetitions of the fault tests; one table of what came of them
	$(RUN) pytest -n 2 $(TESTS) --faults

cluster-test: $(BIN)/.dev environment dist  ## every job on a Spark standalone cluster of this machine
	$(RUN) pytest -m cluster tests/cluster

bench: $(BIN)/.dev  ## benchmarks against hand-written peers, as ratios
	$(RUN) bench

dist: $(BIN)/.dev  ## the wheel, and the zip for spark-submit --py-files
	rm -rf dist/*.whl dist/*.zip build/lib build/bdist.*
	$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	cd dist && for wheel in *.whl; do cp "$$wheel" rankdistill.zip; done
	@ls -l dist

environment: dist/environment.tar.gz  ## the Python of Spark's workers, for spark-submit --archives

# What tasks import; Spark brings pyspark. gzip -1: it is unpacked once per executor and job.
dist/environment.tar.gz: constraints.txt $(BIN)/.core
	rm -rf build/environment
	$(RUN) venv --copies --without-pip build/environment
	$(BIN)/pip --python build/environment install -q --disable-pip-version-check -c constraints.txt \
	  numpy pyarrow pydantic pyyaml
	mkdir -p dist
	GZIP=-1 tar -czf $@ -C build/environment .
	rm -rf build/environment

clean:  ## remove what the targets made
	rm -rf $(VENV) dist build *.egg-info rankdistill-demo
