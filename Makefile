# The commands of this project; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
BIN := .venv/bin
APT := libseccomp2 libnftables1 nftables iproute2 busybox-static kmod
APT_TEST := chromium tcpdump user-mode-linux skopeo umoci docker-compose docker-registry mmdebstrap
LABEXTENSION := hatch_build.py $(wildcard labextension/*.json labextension/src/* labextension/style/*.* labextension/style/icons/* labextension/schema/* jupyter-config/*)
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: demo lab test lint bench soak setup clean

demo: setup
	$(BIN)/python -W ignore -m tests.notebook_run notebooks/00-quickstart.ipynb
	@echo "executed: open notebooks/00-quickstart.ipynb to see it"

# OPTIONS are JupyterLab's: make lab OPTIONS='--no-browser --port 9999'
lab: setup
	$(BIN)/jupyter lab $$([ "$$(id -u)" != 0 ] || echo --allow-root) $(OPTIONS)

test: setup .stamp-apt-test
	$(BIN)/python -m tests.halves -q

lint: .stamp-venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup .stamp-peers
	$(BIN)/python -W ignore -m benchmarks.compare

# Random operations and kill -9 by the minute, then 200 kills of the image store's engine at random moments, and 10,000
# requests at random: make soak SECONDS=600 SEED=7 KILLS=1000
SECONDS ?= 180
KILLS ?= 200
soak: setup
	$(BIN)/python -W ignore -m benchmarks.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))
	KILLS=$(KILLS) $(if $(SEED),SEED=$(SEED)) $(BIN)/python -m pytest -q tests/crash/test_store.py
	NBC_FUZZ_REQUESTS=10000 $(BIN)/python -m pytest -q tests/fuzz

setup: .stamp-apt .stamp-venv

.stamp-apt: PACKAGES := $(APT)
.stamp-apt-test: PACKAGES := $(APT_TEST)

# Only what is missing is installed, so that a machine that has it all needs neither root nor a network.
.stamp-apt .stamp-apt-test: Makefile
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@touch $@

.stamp-peers: Makefile
	@dpkg-query -W -f '$${Status}' docker.io 2>/dev/null | grep -q 'ok installed' || \
	  { $(SUDO) apt-get update -q && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q docker.io; }
	@touch $@

# pip builds JupyterLab's extension where its sources have changed: hatch_build.py.
.stamp-venv: pyproject.toml $(LABEXTENSION)
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .stamp-* dist labextension/dist labextension/lib labextension/node_modules .mypy_cache .ruff_cache .pytest_cache
