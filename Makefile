# make run: set everything up and serve the app.  make test: set everything up and pass the tests.
# make hostile: thousands of hostile uploads, archives, addresses and damaged files (docs/reliability.md).
# make accuracy PRESET=quick DATA=digits: what a preset reaches, and what it reaches without its routing; three seeds each.
# make benchmark DATA=cifar10-jpeg.tar.xz: print the figures that this machine can (docs/benchmarks.md).
PYTHON ?= python3
VENV := .venv
PORT ?= 8501
DATA ?= cifar10
PRESET ?= quick
ROWS ?= accuracy.jsonl
WORKERS ?= 2

.PHONY: run test lint benchmark accuracy hostile clean

run: $(VENV)/.run
	$(VENV)/bin/python -m expertnet serve --port $(PORT)

test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile tests --ignore=tests/browser
	$(VENV)/bin/python -m pytest -x tests/browser  # alone: a browser, a server and a training share the processors

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy expertnet pages benchmarks tools app.py

benchmark: $(VENV)/.dev
	$(VENV)/bin/python -m benchmarks.pages
	$(VENV)/bin/python -m benchmarks.quick --dataset digits
	$(VENV)/bin/python -m benchmarks.training_speed --data $(DATA)
	$(VENV)/bin/python -m benchmarks.routing_lab --dataset $(DATA)

accuracy: $(VENV)/.dev
	for n in 1 2 3; do for v in learned uniform width parameters; do \
		$(VENV)/bin/python -m benchmarks.accuracy --preset $(PRESET) --data $(DATA) --variant $$v --seeds $$n --rows $(ROWS) || exit 1; \
	done; done

hostile: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m benchmarks.hostile

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ExpertNet Studio needs Python 3.11 or newer; name one with make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || (echo "Python's venv is missing; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1)

$(VENV)/.run: $(VENV)/bin/python requirements.txt
	$(VENV)/bin/python -m pip install -q -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements.txt requirements-login.txt requirements-dev.txt
	$(VENV)/bin/python -m pip install -q -r requirements-dev.txt
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
