# Thin wrappers: make the virtual environment, install into it, call the command `dlnotes`.
# Works with GNU make 3.81 (macOS) and any POSIX shell.

SHELL := /bin/sh
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
DLNOTES := $(VENV)/bin/dlnotes
PYTHON ?=
LESSON ?=
PORT ?=
FULL ?=

.DEFAULT_GOAL := help
.PHONY: help setup study run test test-everywhere wheel clean

help:
	@echo "make study             open the course in JupyterLab    LESSON=perceptron  PORT=8888"
	@echo "make run               run lessons, results in build/   LESSON=\"perceptron xor\"  FULL=1"
	@echo "make test              unit tests, then every lesson    LESSON=perceptron"
	@echo "make test-everywhere   other seeds and processor, then the built wheel"
	@echo "make setup             only install, into $(VENV)"
	@echo "make wheel             build the installable package into dist/"
	@echo "make clean             remove $(VENV), build/ and dist/; notebooks and data stay"
	@echo
	@echo "PYTHON=python3.12 chooses the Python; DLNOTES_EXTRA=cpu or gpu chooses TensorFlow's kind."

study: setup
	@exec $(DLNOTES) study $(if $(PORT),--port $(PORT)) $(LESSON)

run: setup
	@exec $(DLNOTES) run $(if $(FULL),--full) $(LESSON)

test: setup
	@exec $(DLNOTES) test $(LESSON)

test-everywhere: setup
	@exec $(DLNOTES) test --everywhere $(LESSON)

wheel: setup
	@$(VENV_PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	@find dlnotes tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

# === Installation ===

# The name of the stamp holds what was installed: other content, another extra or another folder
# (scripts hold their folder's name), another stamp.
STAMP := $(VENV)/.installed
ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
EXTRA := $(strip $(DLNOTES_EXTRA))
ifeq ($(EXTRA),)
EXTRA := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
endif
ifneq ($(EXTRA),cpu)
ifneq ($(EXTRA),gpu)
$(error DLNOTES_EXTRA must be cpu or gpu. Received: $(EXTRA))
endif
endif
ifeq ($(wildcard requirements.txt),)
$(error requirements.txt is missing: run make in the folder of the course)
endif
SUM := $(shell { cat pyproject.toml requirements.txt; pwd; } | cksum | tr ' ' '-')
STAMP := $(VENV)/.installed-$(SUM)-$(EXTRA)
endif

setup: check-python $(STAMP)
	@:

.PHONY: check-python
check-python:
ifneq ($(PYTHON),)
	@if test -x $(VENV_PYTHON); then \
	    show='import sys; print("%d.%d" % sys.version_info[:2])'; \
	    wanted=`"$(PYTHON)" -c "$$show" 2>/dev/null`; \
	    have=`$(VENV_PYTHON) -c "$$show" 2>/dev/null`; \
	    if test "$$wanted" != "$$have"; then \
	        echo "$(VENV) was made with Python $$have, but PYTHON=$(PYTHON) is" \
	            "$${wanted:-no working Python}." >&2; \
	        echo "Run: make clean, then the same command again." >&2; \
	        exit 1; \
	    fi; \
	fi
endif

$(STAMP):
	@set -e; \
	suits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	if ! $(VENV_PYTHON) -m pip --version >/dev/null 2>&1; then \
	    rm -rf $(VENV); \
	    python=; incomplete=; \
	    for candidate in $(if $(PYTHON),"$(PYTHON)",python3.12 python3.13 python3.11 python3 python); do \
	        "$$candidate" -c "$$suits" >/dev/null 2>&1 || continue; \
	        if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	            python=$$candidate; break; \
	        fi; \
	        incomplete=$${incomplete:-$$candidate}; \
	    done; \
	    if test -z "$$python" && test -n "$$incomplete"; then \
	        echo "$$incomplete cannot make virtual environments: its venv or ensurepip is missing." >&2; \
	        echo "On Debian or Ubuntu: sudo apt install python3-venv. Then the same command again." >&2; \
	        exit 1; \
	    fi; \
	    if test -z "$$python"; then \
	        echo "No Python 3.11, 3.12 or 3.13 that runs was found$(if $(PYTHON), at PYTHON=$(PYTHON))." >&2; \
	        echo "Install one from https://www.python.org/downloads/, or name yours: make setup PYTHON=/path/to/python3.12" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$python"; \
	    "$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	elif ! $(VENV_PYTHON) -c "$$suits"; then \
	    echo "$(VENV) was made with a Python that is not 3.11, 3.12 or 3.13." >&2; \
	    echo "Run: make clean, then the same command again." >&2; \
	    exit 1; \
	fi; \
	rm -f $(VENV)/.installed $(VENV)/.installed-*; \
	other=; \
	case "$(EXTRA) `uname -sm`" in \
	    gpu*) other=tensorflow-cpu ;; \
	    "cpu Linux x86_64") other=tensorflow ;; \
	esac; \
	if test -n "$$other" && $(VENV_PYTHON) -m pip show --quiet $$other >/dev/null 2>&1; then \
	    echo "Removing $$other, which cannot stay beside the other kind of TensorFlow"; \
	    $(VENV_PYTHON) -m pip uninstall --quiet --yes tensorflow tensorflow-cpu; \
	fi; \
	{ \
	    sed -e 's/\[[^]]*\]//' -e '/^ *-/d' requirements.txt; \
	    sed -n -e 's/\[[^]]*\]//' -e 's/^tensorflow *==/tensorflow-cpu==/p' requirements.txt; \
	} >$(VENV)/constraints.txt; \
	echo "Installing into $(VENV) with TensorFlow for $(EXTRA); the first time this takes some minutes"; \
	$(VENV_PYTHON) -m pip install --disable-pip-version-check -e ".[$(EXTRA),serve,dev]" -c $(VENV)/constraints.txt \
	    || { echo "The installation failed: see above. Nothing is lost; run the same command again." >&2; exit 1; }; \
	touch $@
