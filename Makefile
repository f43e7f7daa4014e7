# make run: install everything into .venv and start the studio.  make test: install everything and run the tests.
# make hostile: thousands of hostile uploads, archives, URLs and damaged files (docs/reliability.md).
# make accuracy PRESET=quick DATA=digits: the accuracy of a preset, with and without its routing, for three seeds each.
# make benchmark DATA=cifar10-jpeg.tar.xz: the figures of docs/benchmarks.md that this machine can measure.
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
if [ -e $(VENV)/lib/python3.*/site-packages/torch ]; then echo 'downloading about 250 MB of packages. The PyTorch in $(VENV) is kept.'; \
elif [ "$$(uname)" != Linux ]; then echo 'downloading PyTorch and other packages, a few hundred MB.'; \
else echo 'downloading PyTorch with its CUDA libraries and other packages, about 3.3 GB.'; \
echo 'Without an NVIDIA GPU, press Ctrl-C and install the much smaller CPU build of torch and torchvision into $(VENV) first (README.md).'; fi
endef

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
