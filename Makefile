# Each target sets up what it needs: a virtual environment in .venv with the extras that help.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: compare check figures test test-slow lint docs clean

compare: $(INSTALLED)
	$(BIN)/emergence compare --resume --overwrite --out results --report results/report.html
	$(BIN)/emergence compare --resume --overwrite --out results/direct --report results/direct/report.html \
	  --method direct --d 64 --P 4 --m 16 --step-size 3e-6 --samples 9.3e6
	@echo "open results/report.html, and results/direct/report.html for the literal algorithm"

check: $(INSTALLED)
	mkdir -p results
	$(BIN)/emergence check --out results/check --json results/check.json --junit results/check.xml

figures: $(INSTALLED)
	$(BIN)/emergence figures --all --out results/figures

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --nitpicky --keep-going --quiet docs results/docs
	@echo "open results/docs/index.html"

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fast,progress,workers,data,test,dev]'
	touch $@

clean:
	rm -rf $(VENV) results build *.egg-info
