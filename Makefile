# Both commands work on a fresh machine with Python 3.11+: they make .venv, install, and run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= ./store

.PHONY: quickstart test check docs clean

quickstart: $(VENV)/installed
	$(BIN)/metasearch launch experiments/quickstart.yaml --store $(STORE) --or-resume

test: $(VENV)/installed check
	$(BIN)/pytest -n 2 --dist loadgroup

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=experiments:experiments/studies:experiments/benchmarks $(BIN)/mypy --config-file= --cache-dir=.mypy_cache/experiments \
		--ignore-missing-imports --follow-imports=silent --disable-error-code=arg-type --disable-error-code=assignment --disable-error-code=operator \
		--disable-error-code=index --disable-error-code=var-annotated --disable-error-code=call-overload \
		experiments/*.py experiments/*/*.py
	$(BIN)/lint-imports

docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
