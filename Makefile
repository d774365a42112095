# Everything a contributor types. Needs only python3 (3.11 or newer, with venv), make and git.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install oracles demo test golden check fix font bench torture build clean

SHELL := bash
.SHELLFLAGS := -o pipefail -c

install: .venv/.installed

.venv/.installed: pyproject.toml $(wildcard requirements/*.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt 2>&1 | { grep -v "^WARNING: Location" || true; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The vendors' own clients and fakes, which some tests compare with, and what drives a browser; `make test`
# leaves out what needs them without them.
oracles: .venv/.oracles

.venv/.oracles: .venv/.installed requirements/oracles.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/oracles.txt 2>&1 | { grep -v "^WARNING: Location" || true; }
	@touch $@

test: install
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

# Writes anew what is sent for every sort of event, and pictures of it into build/gallery; then look at both.
golden: oracles
	GOLDEN=write $(BIN)/python -m pytest -q tests/cli/test_cli.py tests/core/test_message.py tests/notifiers -k "golden or sort_of_event or in_markdown"
	$(BIN)/python bench/gallery.py

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

font: install
	$(BIN)/python tools/font.py ftwatch/plots/font

# What it costs, beside what others cost: a quarter of an hour with the machine to itself.
bench: install
	$(BIN)/python bench/gates.py --write docs/performance.md

torture: install
	$(BIN)/python bench/torture.py

demo: install
	$(BIN)/ftwatch demo

build: install
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf .venv build dist
