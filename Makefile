# What a fresh clone needs: Python 3.11 (and for `test`: Go, openssl, and root, for tests that
# mount a small tmpfs; for tests that run pods, iproute2 and apt-get too: without, they are skipped).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find klever ormb -type f -not -name '*.pyc') pyproject.toml README.md
TESTS ?= tests
UNIT := not (e2e or root or slow)
# The cluster of a KUBECONFIG is for one test at a time.
JOBS ?= $(if $(KUBECONFIG),1,2)

# Each worker compiles every test otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install docs check unit test demo baseline generate lock clean

## install: .venv with klever and ormb in it
install: $(VENV)/.wheel
	@echo "Klever is installed: . $(BIN)/activate && klever doctor"

$(VENV)/.requirements: requirements/klever.txt
	command -v $(PYTHON) >/dev/null || { echo "Klever needs Python 3.11: install it, or name it with make PYTHON=…" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Klever: installing its requirements into $(VENV), which takes a minute or more"
	$(BIN)/python -m pip install --require-hashes -r requirements/klever.txt
	touch $@

$(VENV)/.dev: $(VENV)/.requirements requirements/dev.txt
	$(BIN)/python -m pip install --require-hashes -r requirements/dev.txt
	touch $@

# The build backend stands in the development lock; a plain install fetches it by itself.
$(VENV)/.wheel: $(VENV)/.requirements $(SOURCES)
	@echo "Klever: building and installing its wheel"
	rm -rf build/wheel
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheel .
	$(BIN)/python -m pip install -q --no-deps --force-reinstall build/wheel/*.whl
	touch $@

## check: lint, types, layers, protos, generated files, links of the documentation
check: $(VENV)/.dev docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf breaking klever/v1alpha1/descriptor.binpb --config hack/breaking.yaml --against api/baseline.binpb
	PYTHONPATH=. $(BIN)/python hack/generate --check

## unit: the tests that need Python alone, in less than a minute
unit: $(VENV)/.dev $(VENV)/.wheel
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m "$(UNIT)" tests/unit

## test: everything, from the built wheel, with real Envoy, real Triton, a real API server and real pods
test: $(VENV)/.dev $(VENV)/.wheel
	$(BIN)/klever env install triton tabular mlflow mllib tensorflow llamacpp pmml
	PYTHONPATH=. $(BIN)/python hack/torch_cpu
	for tier in "full dns metrics istio" full ""; do nice $(BIN)/python hack/cluster prepare $$tier && break; done
	$(BIN)/pytest --retry-e2e -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)  # the long ones of tests/e2e first

## docs: the documentation as a site with search, in build/docs; broken links fail
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "open build/docs/index.html"

$(VENV)/.docs: $(VENV)/.requirements requirements/docs.txt
	$(BIN)/python -m pip install -q --require-hashes -r requirements/docs.txt
	touch $@

## demo: from a model file to traffic, in under 30 s once the environments exist
demo: $(VENV)/.wheel
	$(BIN)/klever env install triton
	$(BIN)/python examples/demo.py

## baseline: what `check` compares the protos with: renew it when a release has changed the API on purpose
baseline: $(VENV)/.dev
	$(BIN)/buf build klever/v1alpha1/descriptor.binpb --exclude-source-info -o api/baseline.binpb

generate: $(VENV)/.dev
	PYTHONPATH=. $(BIN)/python hack/generate

## lock: resolve the requirements anew (needs uv)
LOCK := uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-header --no-annotate \
    --python-version 3.11 -c requirements/constraints.txt
lock:
	$(LOCK) -o requirements/klever.txt
	$(LOCK) --group dev -c requirements/klever.txt -o requirements/dev.txt
	$(LOCK) --group docs -c requirements/dev.txt -o requirements/docs.txt

clean:
	rm -rf build $(VENV)
