# make demo: from nothing to a change map.   make test: from nothing to passing tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export DO_NOT_TRACK ?= 1

.PHONY: setup demo transfer-demo test slow chaos fuzz check format schema pictures docs figures gpu-check benchmarks qgis-plugin clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Landshift needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[encoders,dev]'
	touch $@

demo: setup
	$(BIN)/landshift demo landshift-demo

transfer-demo: setup
	$(BIN)/landshift demo landshift-demo --transfer

# Two at once, each file by one of them: what a file sets up is set up once.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

slow: setup
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --max-worker-restart 0

# Files damaged by numbers; what fails is kept in .fuzz, and the same numbers damage the same way again.
MUTATIONS ?= 20000
fuzz: setup
	$(BIN)/python -m tests.fuzz --mutations $(MUTATIONS) --kept .fuzz

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Verbs that are killed, starved and deceived at random moments, and then run once more; root mounts small disks, `faketime` of Debian moves the clock.
SEED ?= 0
chaos: setup
	PYTHONPATH=.:src OMP_NUM_THREADS=1 GDAL_NUM_THREADS=1 $(BIN)/python -m tests.chaos --seed $(SEED)

schema: setup
	$(BIN)/python -c 'from landshift.flows.config.project import schema_text; print(schema_text(), end="")' > configs/schema.json

# The plugin as a zip in dist/; needs Python 3.11 alone.
qgis-plugin:
	$(PYTHON) qgis/build.py

pictures: demo
	$(BIN)/python docs/pictures.py landshift-demo/runs/demo/run

# Every figure of README and of the pages that a command makes; demos that were not run here yet take some minutes each.
figures: setup
	$(BIN)/python benchmarks/demo_spread.py --out docs/measurements/demo.json
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/figures.py

# The site of all pages, in site/; a link that leads nowhere ends it.
docs: setup
	$(BIN)/mkdocs build --quiet

gpu-check: setup
	$(BIN)/python benchmarks/gpu_check.py --out docs/measurements/gpu_check.json

# Pairs that are made are kept there for the next time; 10,980 pixels need 6 GB.
PAIRS ?= .benchmarks
SIZES ?= 1280 2560 5490
KEPT := --folder $(PAIRS) --out docs/measurements

benchmarks: setup
	mkdir -p $(PAIRS)
	$(BIN)/python benchmarks/detect_path.py $(KEPT)/detect_path.json --sizes $(SIZES)
	$(BIN)/python benchmarks/detect_path.py $(KEPT)/detect_path_4.json --sizes $(SIZES) --bands 4 --methods model
	-$(BIN)/python benchmarks/flame.py $(KEPT)/flame.json
	$(BIN)/python benchmarks/fed_device.py $(KEPT)/fed_device.json
	$(BIN)/python benchmarks/chips.py $(KEPT)/chips.json
	$(BIN)/python benchmarks/training_step.py --out docs/measurements/training_step.json
	$(BIN)/python benchmarks/peers.py $(KEPT)/peers.json --environment $(PAIRS)/rastervision
	$(BIN)/python benchmarks/growth.py $(KEPT)/growth.json
	$(BIN)/python benchmarks/polygons.py --out docs/measurements/polygons.json
	$(BIN)/python benchmarks/land_plots.py --out docs/measurements/land_plots.json
	$(BIN)/python benchmarks/page.py --out docs/measurements/page.json
	$(BIN)/python benchmarks/register.py --out docs/measurements/register.json
	$(BIN)/python benchmarks/detect_share.py
	$(BIN)/python benchmarks/detect_shards.py
	$(BIN)/python benchmarks/linear_probe.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/sampling.py --docs
	$(BIN)/python benchmarks/report.py

clean:
	rm -rf $(VENV) site .fuzz landshift-demo runs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
