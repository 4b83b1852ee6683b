# `make` alone prints this help. Each target makes the virtual environment when it is missing.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= build/demo
WORKERS ?= 2
export PYTHONHASHSEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-containers bench otb format lint compile lock images push k8s-validate golden clean

help: ## show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): requirements/all.lock pyproject.toml
	@echo "Making the virtual environment $(VENV): about 3.3 GB, 3 minutes or more without a word, once."
	@$$(command -v $(PYTHON) || command -v python3) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/all.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e . && touch $@

demo: $(READY) ## products to cloud-free image: OUT=folder, PRODUCTS=folder, ARGS="--quick"
	$(BIN)/decloud demo --out $(OUT) $(if $(PRODUCTS),--products $(PRODUCTS)) $(ARGS)

test: $(READY) lint ## lint, types, contracts and the whole suite that needs no Docker
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-fast: $(READY) ## unit and stage tests only
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/unit tests/stages $(ARGS)

test-containers: $(READY) ## build the images, run all pipelines in them (needs a Docker engine)
	PYTHON=$(BIN)/python bash docker/test.sh

bench: $(READY) ## speed against stated baselines, to build/bench/results.json
	$(BIN)/python -m benchmarks $(ARGS)

otb: $(READY) ## the Orfeo ToolBox and its Python module, for --engine otb (Debian 12, root)
	PYTHON=$(BIN)/python docker/otb/install.sh

lint: $(READY) ## format check, lint, types, import contracts
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(READY) ## format the code and apply safe fixes
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

compile: $(READY) ## Kubeflow pipelines as YAML in build/pipelines
	$(BIN)/decloud compile --out build/pipelines

lock: ## pin requirements/*.in again (needs uv)
	cd requirements && uv pip compile all.in $(LOCK_OPTIONS) -o all.lock && for name in prepare train train-gpu retrain mlflow build; do uv pip compile $$name.in -c all.lock $(LOCK_OPTIONS) -o $$name.lock || exit; done
	cd requirements && uv pip compile task.in --no-deps -c all.lock $(LOCK_OPTIONS) -o task.lock

images: ## build the images for CPUs; TARGETS="train-gpu infer-gpu" builds those
	docker/build.sh $(TARGETS)

push: ## push them: REGISTRY=registry.example.org/decloud
	docker/push.sh "$(REGISTRY)" $(TARGETS)

k8s-validate: $(READY) ## render the manifests and check them
	$(BIN)/python -m pytest tests/k8s -rs $(ARGS)

golden: $(READY) ## write the summaries of the compiled pipelines anew (tests/golden)
	$(BIN)/python -m tests.pipelines.golden

clean: ## remove what is built (not the environment)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

LOCK_OPTIONS := --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-emit-index-url \
	--generate-hashes --no-annotate --no-header
