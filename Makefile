# Every target sets itself up from nothing: the first makes $(VENV) from $(PYTHON), later ones use it.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1

bin := $(VENV)/bin
installed := $(VENV)/.installed

.PHONY: demo test doctest lint types bench

demo: $(installed)
	@mkdir -p demo
	$(bin)/python -m bayesjko.fit --demo double_well --out demo/result.nc --plots demo/figures

test: $(installed)
	$(bin)/python -m pytest -q $(PYTEST_ARGS)

doctest: $(installed)
	$(bin)/python -m pytest -q --doctest-modules bayesjko || [ $$? -eq 5 ] # 5: no examples yet

lint: $(installed)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/lint-imports

types: $(installed)
	$(bin)/mypy -p bayesjko

bench: $(installed)
	$(bin)/python -m pytest -q --benchmark-only benchmarks

# The stamp is written last, so an interrupted set-up is done again.
$(installed): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'bayesjko needs Python 3.11 or newer and $(PYTHON) is %d.%d: name another with make PYTHON=python3.11.' % sys.version_info[:2])"
	@echo "Setting up $(VENV) with $(PYTHON); this takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install -q -e '.[anndata,dev]'
	@touch $@
