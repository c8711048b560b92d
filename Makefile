# make quickstart | test | test-slow | lint | install    (PYTHON=python3.12: the interpreter of a new .venv)
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install quickstart test test-slow lint

install: $(STAMP)

# Written last: an interrupted installation leaves no stamp and is done again.
$(STAMP): pyproject.toml constraints.txt
	@python=$$(sh scripts/check_machine.sh "$(PYTHON)") || exit 1; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear .venv
	@rm -f $(STAMP)
	@echo "Installing into .venv (two minutes or so, mostly the download of torch) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[dev]"
	@touch $(STAMP)

quickstart: install
	$(BIN)/python pipelines/quickstart.py

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest -q

test-slow: install
	$(BIN)/pytest -q -m slow
