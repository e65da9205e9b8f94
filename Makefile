# make run: a server on this machine.   make test: every test.   Both need nothing but Python 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# --import-mode is in pyproject.toml
PYTEST := $(BIN)/python -m pytest
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip # setuptools warns of editable installs

.PHONY: run test check nightly bench format browser clean

run: $(VENV)/run.stamp
	@$(BIN)/sft-serve run

test: $(VENV)/dev.stamp $(VENV)/native.stamp browser check
	$(PYTEST)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

nightly: $(VENV)/dev.stamp $(VENV)/native.stamp browser
	$(PYTEST) --nightly
	for round in 1 2 3; do $(PYTEST) -s tests/wire_client || exit 1; done
	$(MAKE) bench
	$(BIN)/python bench/soak.py

bench: $(VENV)/dev.stamp $(VENV)/native.stamp
	$(BIN)/python bench/run.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Continuous integration installs what the tests drive; elsewhere a missing one is a loud skip of its tests.
APT := DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends
# Of the package prometheus only this, because the package would start a server.
PROMTOOL := (cd "$$(mktemp -d)" && apt-get -o APT::Sandbox::User=root download -qq prometheus && dpkg-deb -x prometheus_*.deb . && \
	install usr/bin/promtool /usr/local/bin)
browser:
	@{ command -v chromium || command -v google-chrome; } >/dev/null && \
	command -v npm >/dev/null && command -v turnserver >/dev/null && \
	command -v ip >/dev/null && command -v nft >/dev/null && command -v conntrack >/dev/null && \
	command -v promtool >/dev/null || \
	if [ "$$CI" = true ] && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq; \
		command -v chromium >/dev/null || $(APT) chromium fonts-dejavu-core; \
		command -v npm >/dev/null || $(APT) nodejs npm; \
		command -v turnserver >/dev/null || $(APT) coturn; \
		$(APT) iproute2 nftables conntrack; \
		command -v promtool >/dev/null || $(PROMTOOL); \
	else \
		echo "*** Chromium, npm, coturn, iproute2, nftables, conntrack or promtool is not installed:" \
			"tests with browsers, relays, networks or metrics will be skipped ***" >&2; \
	fi

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

PLUGINS := plugins/transport_udp plugins/transport_tcp plugins/metrics
EXTRAS := plugins/tracing load
PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml) $(EXTRAS:%=%/pyproject.toml)
EDITABLE := -e . $(PLUGINS:%=-e %)

$(VENV)/run.stamp: $(PROJECTS) | $(BIN)/python
	$(PIP) install --quiet $(EDITABLE)
	@touch $@

$(VENV)/dev.stamp: $(PROJECTS) | $(BIN)/python
	$(PIP) install --quiet $(EDITABLE) $(EXTRAS:%=-e %) --group dev
	@touch $@ $(VENV)/run.stamp

# A prototype in C. Where it cannot be compiled, what was compiled before goes too: its tests and its benchmark are
# skipped, and never run what is not here any more.
NATIVE := plugins/engine_native
HAS_HEADERS := $(BIN)/python -c 'import os, sysconfig; \
	raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
$(VENV)/native.stamp: $(wildcard $(NATIVE)/*.* $(NATIVE)/*/*.py) | $(VENV)/dev.stamp
	@if [ "$$CI" = true ] && [ "$$(id -u)" = 0 ] && ! { command -v cc >/dev/null && $(HAS_HEADERS); }; then \
		apt-get update -qq; $(APT) gcc libc6-dev python3-dev; \
	fi
	@rm -f $@
	@$(PIP) install --quiet -e $(NATIVE) && touch $@ || { \
		$(PIP) uninstall --quiet --yes sft-engine-native 2>/dev/null; \
		[ "$$CI" != true ] && echo "*** the native engine cannot be compiled here: its tests will be skipped ***" >&2; \
	}

clean:
	rm -rf $(VENV) build dist *.egg-info
