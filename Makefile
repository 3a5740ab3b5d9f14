# Every target does all that it needs: system packages (apt-get, as root or by sudo), .venv, and then its job.

SHELL := /bin/bash
VENV := .venv
READY := $(VENV)/ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE :=
PYTEST := pytest -n 2 --dist loadfile
ARGS :=
PREFIX := /usr/local
DESTDIR :=

.PHONY: help
help:
	@echo "make demo       show the main job: make an image, mount it, use it, check it"
	@echo "make test       style, types, import rules and all tests with real mounts"
	@echo "make test-long  the slow and exhaustive tests as well"
	@echo "make bench      compare the speed with other file systems (ARGS=--quick for a look)"
	@echo "make bench-tools  compare mkfs, cp, fsck and ls with the C programs"
	@echo "make bench-growth  what an operation costs in small and large file systems, directories and files"
	@echo "make bench-memory  what memory a mount takes, idle and after work"
	@echo "make lint       style, types and import rules alone"
	@echo "make docs       renew what is generated in docs/"
	@echo "make install    install for everybody: PREFIX=/usr/local, DESTDIR= for packagers (make uninstall)"
	@echo "make man        manual pages in build/man, without installing (man -l build/man/man1/minixfs.1)"
	@echo "make clean      remove .venv and caches"

$(READY): pyproject.toml tools/python tools/system-packages
	@python=$$(tools/python) && tools/system-packages build "$$python" && "$$python" -m venv $(VENV)
	@echo "Installing minixfs and its tools into $(VENV)"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: peers
peers:
	@tools/system-packages peers

.PHONY: demo
demo: $(READY)
	@tools/demo

.PHONY: lint
lint: $(READY)
	ruff check
	ruff format --check
	mypy
	lint-imports

.PHONY: test
test: lint peers
	$(PYTEST) $(ARGS)

.PHONY: test-long
test-long: $(READY) peers
	$(PYTEST) -m "long or not long" --timeout 3600 $(ARGS)

.PHONY: bench
bench: $(READY) peers
	python -m benchmarks $(ARGS)

.PHONY: bench-tools
bench-tools: $(READY) peers
	python -m benchmarks.tools $(ARGS)

.PHONY: bench-growth
bench-growth: $(READY)
	python -m benchmarks.growth $(ARGS)

.PHONY: bench-memory
bench-memory: $(READY)
	python -m benchmarks.memory $(ARGS)

.PHONY: docs
docs: $(READY)
	python tools/behaviours.py --write

.PHONY: man
man: $(READY)
	python tools/manpages.py build/man

.PHONY: install
install:
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" tools/install

.PHONY: uninstall
uninstall:
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" tools/install remove

.PHONY: clean
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
