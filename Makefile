# The makemore course. `make help` lists what there is; every target sets up .venv first if need be.

PYTHON ?=
TORCH_INDEX ?=
NB ?=
LAB_ARGS ?=
TEST_ARGS ?=

PY := .venv/bin/python
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
URL := /lab/tree/notebooks/1_bigrams.ipynb

.DEFAULT_GOAL := help
.PHONY: lab test portable notebooks blank fresh rerun book bench imgs lint help setup

lab: setup  ## open JupyterLab on notebook 1
	@$(PY) -m jupyterlab --LabApp.default_url=$(URL) $(AS_ROOT) $(LAB_ARGS)

test: setup  ## run all tests: every notebook, and tests/
	@$(PY) -m pytest $(TEST_ARGS)

portable: setup  ## the notebooks under the code paths of other processors, one after the other (NB=1: only that one)
	@$(PY) tests/portable.py $(NB)

notebooks: setup  ## run the notebooks from top to bottom in place (NB=1: only that one) and strip their metadata
	@$(PY) notebooks/make.py run $(NB)

blank: setup  ## write copies of the notebooks with empty code cells into blank/, for following along
	@$(PY) notebooks/make.py blank $(NB)

fresh: setup  ## NB=1: bring notebook 1 back as it was; yours is kept in kept/
	@$(PY) notebooks/make.py fresh $(NB)

rerun: setup  ## run every cell twice in place (NB=1: only that notebook) and compare the outputs
	@$(PY) notebooks/make.py rerun $(NB)

book: setup  ## write the course as web pages into book/ (about 15 seconds; no notebook is run)
	@$(PY) notebooks/book.py

bench: setup  ## measure, and write benchmarks/results.json
	@$(PY) benchmarks/run.py $(BENCH)

imgs: setup  ## draw imgs/ again
	@$(PY) imgs/draw.py

lint: setup  ## ruff, over Python files and notebooks
	@$(PY) -m ruff check .

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
	    printf '  make %-10s %s\n' "$$name" "$$what"; done
	@echo '  Settings: PYTHON=python3.12 (which Python makes .venv), TORCH_INDEX=URL (where to look for torch too)'

# .venv is set up anew when it does not run, or was made for other requirements, or in another folder (it holds its
# path). .venv/made-for says for what it was made, and is written last: a set-up that broke off is done again.
MADE_FOR = pwd -P; cat requirements.txt pyproject.toml

setup:
	@if [ "$$($(MADE_FOR))" = "$$(cat .venv/made-for 2>/dev/null)" ] && $(PY) -c '' 2>/dev/null; then exit 0; fi; \
	set -e; \
	python=; \
	for name in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo 'Python 3.11 or newer was not found$(if $(PYTHON), at $(PYTHON)).' \
	        'Get it from https://www.python.org/downloads/, or say where it is:'; \
	    echo '  make lab PYTHON=/path/to/python3'; exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$python" --version): only once, some minutes, most of them for torch."; \
	rm -rf .venv; \
	"$$python" -m venv .venv || { rm -rf .venv; echo 'The virtual environment could not be made (see above).' \
	    'On Debian and Ubuntu: sudo apt install python3-venv'; exit 1; }; \
	$(PY) -m pip install --disable-pip-version-check \
	    $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") -r requirements.txt; \
	{ $(MADE_FOR); } > .venv/made-for
