# `make run` shows the whole method on one domain, `make test` checks it; both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
READY := $(VENV)/.ready
RUN_READY := $(VENV)/.ready-run
# pybullet has no wheels for newer Pythons; there the robots are left out, with their tests.
ROBOT := $(shell $(PYTHON) -c 'import sys; print("robot" * (sys.version_info < (3, 12)))')
DEMO := logs/demo
# More flags for the three stages of `make run`, as in `make run TRAIN_ARGS=--seed=1`; the last of two equal ones counts.
COLLECT_ARGS ?=
PRETRAIN_ARGS ?=
TRAIN_ARGS ?=
ARGS ?=

.PHONY: help setup run check-run test test-learning robot-full test-slurm lint format clean clean-demo
.DELETE_ON_ERROR:

help:
	@echo "make run         the three stages on HeavenHell: episodes, representations, policy (results in $(DEMO)/policy)"
	@echo "make clean-demo  removes $(DEMO), so that make run starts afresh, as after a change of code or config"
	@echo "make test        the tests; ARGS='-k name' for some of them"
	@echo "make check-run   make run, and whether it has learned"
	@echo "make test-learning  the tests that train to a figure, with the instructions of an older processor"
	@echo "make robot-full  the robot domains' tests in full: 50 seeds of each, 1,000 episodes of each for leaks (minutes)"
	@echo "make test-slurm  sweeps on a SLURM of one node that the test starts (apt-get install slurmctld slurmd slurm-client munge)"
	@echo "make lint        ruff and mypy"
	@echo "make format      lets ruff put the code in order"
	@echo "make setup       only the virtual environment, $(VENV)"
	@echo "make clean       removes $(VENV) and caches; logs/ stays"

setup: $(READY)

# What pyproject.toml asks for: the core and some extras. The code itself is used where it stands, and not installed.
define ASKED
import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
print(*project["dependencies"], *(one for name in sys.argv[1:] for one in project["optional-dependencies"][name]), sep="\n")
endef
export ASKED

# $(call install,EXTRAS): into .venv, in the versions of the lock.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python >= 3.11 is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "$$ASKED" $(1) > $(VENV)/asked.txt
	$(BIN)/python -m pip install --progress-bar on -c requirements.txt -r $(VENV)/asked.txt
endef

# The marks are older than these files only when they have changed, so that a second `make` asks for no network.
$(READY): requirements.txt pyproject.toml
	$(call install,$(ROBOT) sweep export track offline fast finite gridworlds dev)
	@touch $(RUN_READY) $@

# `make run` needs less: no robots, sweeps, export, mirrors, kernels, and nothing that checks the code.
$(RUN_READY): requirements.txt pyproject.toml
	$(call install,offline)
	@touch $@

# Stage 1 is random. In stage 3 the expert plays 64 episodes into the replay before training, so that 40,000 steps do.
run: $(RUN_READY)
	$(PY) main_collect_data.py --config_env=configs/envs/heaven_hell.py --episodes=3000 --random_episodes=3000 \
		--data_path=$(DEMO)/data --overwrite $(COLLECT_ARGS)
	$(PY) main_pretrain_representations.py --config_env=configs/envs/heaven_hell.py \
		--config_repr=configs/repr/heaven_hell.py --data_path=$(DEMO)/data --save_dir=$(DEMO)/representations \
		$(PRETRAIN_ARGS)
	$(PY) main.py --config_env=configs/envs/heaven_hell.py --config_rl=configs/rl/dqn.py:mi \
		--config_seq=configs/seq/gru.py --state_embedder_dir=$(DEMO)/representations \
		--obs_embedder_dir=$(DEMO)/representations --start_expert_training=64 --train_episodes=800 \
		--save_dir=$(dir $(DEMO)) --group=$(notdir $(DEMO)) --run_name=policy $(TRAIN_ARGS)

# The mean success of the last ten evaluations; at least 0.95 is asked for.
check-run: run
	@$(PY) -c 'import json, pathlib, sys; \
		last = json.loads(pathlib.Path("$(DEMO)/policy/summary.json").read_text())["mean_of_last_ten"]["success"]; \
		sys.exit(last < 0.95 and f"error: make run ends at a success of {last:.2f} in its last ten evaluations, not 0.95")'

test: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(ARGS)

# The switches of the two libraries that multiply: what they round to differs from processor to processor.
test-learning: $(READY)
	MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 \
		$(PY) -m pytest -n 2 -m learning tests/policies tests/scripts $(ARGS)

robot-full: $(READY)
	ROBOT_FULL=1 OMP_NUM_THREADS=1 $(PY) -m pytest tests/envs/robot -n 2 --dist worksteal $(ARGS)

test-slurm: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slurm tests/scripts/sweeping/test_slurm.py $(ARGS)

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(READY)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-demo:
	rm -rf $(DEMO)
