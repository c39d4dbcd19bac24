# Every target sets itself up from nothing: the first makes $(VENV) from $(PYTHON), later ones use it.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
JOBS ?= 2

export PIP_DISABLE_PIP_VERSION_CHECK = 1

bin := $(VENV)/bin
installed := $(VENV)/.installed

.PHONY: demo test browser doctest lint types bench readme docs collect

demo: $(installed)
	@mkdir -p demo
	$(bin)/python -m bayesjko.fit --demo double_well --potential poly:4 --holdout 0.3 --out demo/result.nc --plots demo/figures
	$(bin)/python -m bayesjko.forecast demo/result.nc --horizon 0.2 --out demo/forecast.nc
	@printf 'x1,x2\n-1,0\n0,0\n1,0\n' > demo/points.csv
	$(bin)/python -m bayesjko.energy demo/result.nc --at demo/points.csv --out demo/energy.csv
	@echo
	$(bin)/python -m bayesjko.fit --demo countries --potential poly:3 --out demo/countries.nc --plots demo/countries
	@echo
	@echo "Done. Begin with the picture demo/figures/landscape.png; all are in demo/figures/."
	@echo "demo/result.nc is the posterior, demo/forecast.nc the trajectories from the last snapshot on,"
	@echo "demo/energy.csv the energy at demo/points.csv. demo/countries.nc and demo/countries/ are of"
	@echo "real data: 142 countries, 1952 to 2007. README.md says what the lines above mean."

test: $(installed)
	$(bin)/python -m pytest -q -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

# What a test opens the report in; where there is none and none can be had, that test is skipped.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } || \
	{ echo "No browser: install Chromium, or as root on Debian run this again with a network."; exit 1; }

doctest: $(installed)
	$(bin)/python -m pytest -q --doctest-modules bayesjko

lint: $(installed)
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/lint-imports

types: $(installed)
	$(bin)/mypy -p bayesjko

bench: $(installed)
	$(bin)/python -m pytest -q --benchmark-only --benchmark-quiet benchmarks

# What README.md says that commands print, and its picture, made again.
readme: demo
	$(bin)/python docs/scripts/shrink.py demo/figures/landscape.png docs/figures/landscape.png
	$(bin)/python tests/test_readme.py

# The documentation, in site/: its pages are run as they are built, and a warning ends the build.
docs: $(installed)
	MPLBACKEND=agg NO_MKDOCS_2_WARNING=1 $(bin)/python -m mkdocs build -q --strict
	@echo "Documentation: site/index.html"

# What experiments left in results/, copied to where the documentation shows it.
collect: $(installed)
	$(bin)/python docs/scripts/collect.py

# The stamp is written last, so an interrupted set-up is done again.
$(installed): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'bayesjko needs Python 3.11 or newer and $(PYTHON) is %d.%d: name another with make PYTHON=python3.11.' % sys.version_info[:2])"
	@echo "Setting up $(VENV) with $(PYTHON); this takes a minute or two."
	@$(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install -q -e '.[anndata,dev,docs]'
	@touch $@
