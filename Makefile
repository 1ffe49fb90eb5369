# Every target sets up what it needs: .venv with the locked, hash-checked packages, and no more.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo test test-mobile payloads mobile screenshots tasks faults bench check lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -ts "$$(printf '\t')"

# The runtime alone is enough for the demo; the tools for tests come in a second layer.
.venv/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.lock
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

demo: .venv/.runtime ## a real issue of a real package becomes a real pull request
	@$(BIN)/vibecoder demo $(ARGS)

# Most tests wait for something, so that three at a time take two cores well. ARGS="-k words" and
# the like run them one by one.
test: .venv/.dev payloads ## everything that needs no key, offline after the install
	@$(BIN)/python -m pytest $(or $(ARGS),-n 3 --dist worksteal)

# Real deliveries that others published, for the front door's tests. Without npm those say so.
payloads:
	@if command -v npm >/dev/null; then \
	  test -d tests/webhook/payloads/node_modules || npm ci --silent --no-audit --no-fund --prefix tests/webhook/payloads; \
	elif [ -n "$$CI" ]; then echo 'npm is missing, and CI needs the real payloads'; exit 1; fi

EXPO := EXPO_OFFLINE=1 EXPO_NO_TELEMETRY=1 CI=1
mobile/node_modules/.package-lock.json: mobile/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix mobile

mobile: mobile/node_modules/.package-lock.json ## build the phone's app for the web, which /app serves
	cd mobile && $(EXPO) npm run --silent export:web

test-mobile: .venv/.dev mobile ## types, lint, contract, unit tests and native bundles of the app, then chromium
	$(BIN)/python -m webhook | cmp - mobile/openapi.json
	cd mobile && for part in drift api:check types lint test export:native; do $(EXPO) npm run --silent $$part || exit 1; done
	$(BIN)/python -m pytest -m browser $(ARGS)

tasks: .venv/.dev ## the real tasks of vibecoder/real_tasks.json, end to end (needs a package index)
	@$(BIN)/python -m pytest -m network $(ARGS)

faults: .venv/.dev ## injure the running service and prove that nothing is lost; ARGS: see tests/faults
	@$(BIN)/python -m tests.faults $(or $(ARGS),short)

bench: .venv/.runtime ## measure everything in one run (Linux; beside Probot where npm is)
	@$(BIN)/vibecoder bench $(ARGS)

check: .venv/.dev ## lint, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## refresh both lock files (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## remove the virtual environment and local state
	rm -rf .venv .vibecoder build *.egg-info

screenshots: .venv/.dev mobile ## take the README's pictures from a real run (needs node and chromium)
	PYTHONPATH=tests/e2e $(BIN)/python docs/screenshots.py
