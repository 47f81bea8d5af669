PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin

.PHONY: setup reproduce test test-full bench lint format constraints clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "paperworks needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

reproduce: setup
	$(RUN)/paperworks reproduce

test: setup
	$(RUN)/python -m pytest -m "not full" --durations=10

test-full: setup
	$(RUN)/python -m pytest --timeout 3600 --durations=20

bench: setup
	@for script in benchmarks/*.py; do echo "== $$script"; $(RUN)/python $$script || exit 1; done

lint: setup
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

format: setup
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

# After a change of the dependencies in pyproject.toml: resolve them anew and pin what came.
constraints:
	rm -rf .venv-constraints
	$(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/python -m pip install --quiet torch==2.13.0
	.venv-constraints/bin/python -m pip install --quiet --editable '.[dev]'
	.venv-constraints/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' | \
		grep -viE '^(pip|setuptools)=' > constraints.txt
	rm -rf .venv-constraints

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
