# The commands of this project; CONTRIBUTING.md says when to use which.
PYTHON ?= python3
BIN := .venv/bin
APT := libseccomp2 libnftables1 nftables iproute2 busybox-static user-mode-linux kmod
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: demo test lint bench soak setup clean

demo: setup
	$(BIN)/python -W ignore -m tests.notebook_run notebooks/00-quickstart.ipynb
	@echo "executed: open notebooks/00-quickstart.ipynb to see it"

test: setup
	$(BIN)/python -m pytest -q

lint: .stamp-venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup .stamp-peers
	$(BIN)/python -W ignore -m benchmarks.compare

# Random operations and kill -9 by the minute: make soak SECONDS=600 SEED=7
SECONDS ?= 180
soak: setup
	$(BIN)/python -W ignore -m benchmarks.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

setup: .stamp-apt .stamp-venv

# Only what is missing is installed, so that a machine that has it all needs neither root nor a network.
.stamp-apt: Makefile
	@missing=$$(for p in $(APT); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  $(SUDO) apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@touch $@

.stamp-peers: Makefile
	@dpkg-query -W -f '$${Status}' docker.io 2>/dev/null | grep -q 'ok installed' || \
	  { $(SUDO) apt-get update -q && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q docker.io; }
	@touch $@

.stamp-venv: pyproject.toml
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .stamp-* dist .mypy_cache .ruff_cache .pytest_cache
