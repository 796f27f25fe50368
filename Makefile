# Everything from a fresh clone: `make demo` shows the product at work, `make test` proves it.
SHELL := /bin/bash
VENV := .venv
# The first Python on the PATH that really is 3.11 or 3.12; name another with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo $$p; break; }; done)
# uv unpacks side by side, in two thirds of pip's time; pip knows what uv does not, such as an index of pip's own configuration.
PINNED = --quiet --require-hashes --no-deps -r
PIP = $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile
UV = $(VENV)/bin/uv pip install --python $(VENV)/bin/python
install = $(UV) $(1) || { echo "uv could not; pip tries"; $(PIP) $(1); }
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Dozens of processes import the same packages; with this set, each would compile them anew.
unexport PYTHONDONTWRITEBYTECODE
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help env cluster demo test kills abuse lint format tables ablations tuned sensitivity denseface card starter experiments site ui lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(VENV)/dev ## make the environment (.venv) with all that tests and linters need, pinned and hash-checked

$(VENV)/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "cmarr needs Python 3.11 or 3.12 on the PATH; name one: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@echo "making the environment in $(VENV) (about 6 GB, a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ { own = 1 } own; own && !/\\$$/ { exit }' requirements-dev.lock > $(VENV)/uv.lock
	@$(PIP) $(PINNED) $(VENV)/uv.lock
	@$(call install,$(PINNED) requirements.lock)
	@$(call install,--quiet --no-deps --no-build-isolation --editable .)
# What stages import is compiled meanwhile.
	@$(VENV)/bin/python -m stages.warm $(VENV)/bin/python -m stages.setup
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/ready
	@$(call install,$(PINNED) requirements-dev.lock)
	@touch $@

cluster: $(VENV)/ray ## add Ray to the environment, for executor: ray (docs/cluster.md)

$(VENV)/ray: requirements-cluster.lock $(VENV)/ready
	@$(call install,$(PINNED) requirements-cluster.lock)
	@touch $@

demo: $(VENV)/ready ## generate the demo corpus, run the whole pipeline on it, print the table
	@python -m stages.warm dvc repro
	@python -m stages.summary

test: env cluster ## run the test suite
	@python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(TESTS)

kills: env ## kill a study at 50 random moments; print what was found, and whether it still ends in the same bytes
	@KILLS=50 python -m pytest -q -s tests/training/test_kills.py -k killed

MINUTES ?= 10

abuse: env ## damage everything that comes from outside for MINUTES, with a fresh seed; print what became of it
	@python -m benchmarks.abuse --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lint: env ## what .ci/run checks besides the tests
	@ruff check .
	@ruff format --check .
	@mypy

format: env ## let ruff mend what it can; write the pages' line numbers, settings and results
	@ruff check --fix .
	@ruff format .
	@python -m tests.line_links
	@python -m tests.manual
	@python -m benchmarks.studies pages

tables: env ## run the studies behind the tables of README and docs, as far as they are out of date (hours)
	@python -m benchmarks.studies run
	@python -m benchmarks.arithmetic
	@python -m benchmarks.studies pages

ablations: env ## train every ablation (Table 3) and measure recovery (Figure 5) and clusters
	@python -m stages.warm dvc exp run -S "ablate=[$$(python -c 'from cmarr.settings.variants import runnable; print(",".join(runnable("params.yaml")))')]" \
		-S 'recovery=[cmarr,plain_flows]' -S 'clusters=[cmarr]'

tuned: env ## give every method the same small search, and set the results beside the main table
	@python -m stages.warm dvc exp run -S "ablate=[$$(python -c 'from cmarr.settings.variants import searched; print(",".join(searched("params.yaml")))')]"

sensitivity: env ## run the points of Figure 4 that are missing, draw the curves
	@python -m stages.sensitivity
	@python -m stages.warm dvc repro

denseface: env ## train Denseface on FER+, or go on with it (docs/denseface.md)
	@python -m denseface.train

card: env ## score Denseface's best weights on FER+'s test faces, ship them, write docs/denseface.md
	@python -m denseface.score

RAVDESS ?= ../shared/data/ravdess
FERPLUS ?= ../shared/data/ferplus

starter: env ## train the models that come with cmarr anew, on RAVDESS and FER+ (docs/own-clips.md)
	@python -m starter.make --ravdess $(RAVDESS) --ferplus $(FERPLUS)

# Without what every stage has read, and without the numbers of single conditions.
experiments: env ## list the experiments: what was changed, and the mean over the six incomplete conditions
	@dvc exp show --no-pager --only-changed --drop 'data/|metrics/|Created' --drop '.*\.(t|s|v|vt|sv|st|svt)$$|.*\.(WAR|Corr)\.'

site: env ## build these pages, with a reference of the code, and show them (http://127.0.0.1:8000)
	@NO_MKDOCS_2_WARNING=1 mkdocs serve -a 127.0.0.1:8000

# One of its libraries warns of another one.
ui: env ## compare runs in the MLflow UI (http://127.0.0.1:5000)
	@echo "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=scores"
	@PYTHONWARNINGS=ignore:starlette.middleware.wsgi mlflow ui --backend-store-uri sqlite:///$(CURDIR)/mlflow.db --host 127.0.0.1

COMPILE = uv pip compile pyproject.toml --extra all --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --quiet
# What the second lock pins and the first does not.
BEYOND = awk 'FNR == NR { if ($$1 ~ /==/) have[$$1] = 1; next } $$1 ~ /==/ { own = !($$1 in have) } own'

# Where there is uv already, the environment need not first become what the old lock says.
lock: $(if $(wildcard $(VENV)/bin/uv),,env) ## pin every dependency again, with hashes
	@cat requirements.lock requirements-dev.lock > $(VENV)/all.lock
	@$(COMPILE) --extra dev --extra opensmile --extra objects --output-file $(VENV)/all.lock
	@$(COMPILE) --constraint $(VENV)/all.lock --output-file requirements.lock
	@$(BEYOND) requirements.lock $(VENV)/all.lock > requirements-dev.lock
	@$(COMPILE) --extra cluster --constraint $(VENV)/all.lock | $(BEYOND) $(VENV)/all.lock - > requirements-cluster.lock

clean: ## remove the environment and everything computed
	@rm -rf $(VENV) .cmarr .dvc/cache .dvc/tmp mlflow.db mlartifacts dvc.lock
	@find data -mindepth 1 -maxdepth 1 -type d ! -name denseface -exec rm -rf {} +
	@find metrics -mindepth 2 -type f ! -name sensitivity.csv -delete
