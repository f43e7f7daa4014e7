# make run: install everything into .venv and start the studio.
# make test: lint, types and all tests but the two kinds below, in random order; make test SEED=123 repeats an order.
# make test-browser: the tests in a browser.
# make test-long: the long tests, such as kills, floods of memory and a fresh installation.
# make test-fast: lint, types and the fast tests, in about a minute.
# make test-busy: make test and make test-browser, five times in a row, while every processor core is busy, with
#   BESIDE="COMMAND" by that command.
# make coverage: the share of the lines of expertnet/ that the fast tests run.
# make hostile: thousands of hostile uploads, archives, URLs and damaged files, and uploads made to fill the memory
#   (docs/reliability.md).
# make watching: what open tabs cost the training they show, without a browser.
# make accuracy PRESET=quick DATA=digits: train a preset in the background, with and without its routing, three seeds each.
#   After an interruption, the same command resumes. THREADS=1 uses one processor core, OPTIONS=... adds options. What has a
#   published row is not trained again, unless OPTIONS="--rows FILE" names another file.
# make benchmark DATA=cifar10-jpeg.tar.xz: the figures of docs/benchmarks.md that this machine can measure.
PYTHON ?= python3
VENV := .venv
PORT ?= 8501
DATA ?= cifar10
PRESET ?= quick
VARIANTS ?= learned uniform width parameters
WORKERS ?= 2
ifndef SEED
SEED := $(shell date +%s)
endif
PYTEST = $(VENV)/bin/python -m pytest --randomly-seed=$(SEED)
# What is left out as a folder is not even imported.
FAST = --ignore tests/browser --ignore tests/pages -m "not slow and not long" tests

.PHONY: run test test-fast test-browser test-long test-busy coverage lint benchmark accuracy watching hostile clean

run: $(VENV)/.run
	$(VENV)/bin/python -m expertnet serve --port $(PORT)

test: lint
	@echo "Tests in random order, seed $(SEED). To repeat this order: make test SEED=$(SEED)"
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile --ignore tests/browser -m "not long" tests

test-fast: lint
	@echo "Fast tests in random order, seed $(SEED). To repeat this order: make test-fast SEED=$(SEED)"
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile $(FAST)

test-browser: $(VENV)/.dev
	@echo "Browser tests in random order, seed $(SEED). To repeat this order: make test-browser SEED=$(SEED)"
	$(PYTEST) -x -n $(WORKERS) --dist loadfile -m "not long" tests/browser

test-long: $(VENV)/.dev
	@echo "Long tests in random order, seed $(SEED). To repeat this order: make test-long SEED=$(SEED)"
	OMP_NUM_THREADS=1 $(PYTEST) -m long tests

coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile --cov --cov-report= $(FAST)
	@echo "The fast tests run $$($(VENV)/bin/python -m coverage report --format=total)% of the lines of expertnet/."

test-busy: $(VENV)/.dev
	$(VENV)/bin/python -m tools.busy --times 5 $(if $(BESIDE),--beside "$(BESIDE)") $(MAKE) test test-browser

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy expertnet pages benchmarks tools app.py

benchmark: $(VENV)/.dev
	$(VENV)/bin/python -m benchmarks.pages
	$(VENV)/bin/python -m benchmarks.quick --dataset digits
	$(VENV)/bin/python -m benchmarks.training_speed --data $(DATA)
	$(VENV)/bin/python -m benchmarks.routing_lab --dataset $(DATA)

accuracy: $(VENV)/.dev
	@mkdir -p benchmarks/results
	@nohup nice $(VENV)/bin/python -m benchmarks.accuracy --preset $(PRESET) --data "$(DATA)" --variant $(VARIANTS) \
		$(if $(THREADS),--threads $(THREADS)) $(OPTIONS) </dev/null >>benchmarks/results/$(PRESET).log 2>&1 & \
	echo "Training in the background, as process $$!. Progress and tables: benchmarks/results/$(PRESET).log. Stop: kill $$!"

watching: $(VENV)/.dev
	$(VENV)/bin/python -m benchmarks.watching

hostile: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m benchmarks.hostile
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.support.hostile.memory

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ExpertNet Studio needs Python 3.11 or newer. Choose one with make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || (echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1)

# pip keeps a PyTorch that is already in .venv, such as the CPU build.
$(VENV)/.run: $(VENV)/bin/python requirements.txt pyproject.toml
	@$(ANNOUNCE)
	$(VENV)/bin/python -m pip install -q -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python requirements.txt pyproject.toml
	@$(ANNOUNCE)
	$(VENV)/bin/python -m pip install -q -e ".[dev]"
	@touch $@ $(VENV)/.run

# What the first set-up downloads, and how much.
define ANNOUNCE
if [ -e $(VENV)/.run ]; then exit; fi; \
printf 'First set-up, which happens once: '; \
if [ -e $(VENV)/lib/python3.*/site-packages/torch ]; then echo 'downloading about 250 MB of packages. The PyTorch in $(VENV) is kept if it is 2.14 or newer.'; \
elif [ "$$(uname)" != Linux ]; then echo 'downloading PyTorch and other packages, a few hundred MB.'; \
else echo 'downloading PyTorch with its CUDA libraries and other packages, about 3.3 GB.'; \
echo 'Without an NVIDIA GPU, press Ctrl-C and install the much smaller CPU build of torch and torchvision into $(VENV) first (docs/install.md).'; fi
endef

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
