# `make run` shows the whole method on one domain, `make test` checks it; both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := logs/demo
ARGS ?=

.PHONY: help setup run test lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make run     the three stages on HeavenHell: demonstrations, representations, policy (results in $(DEMO))"
	@echo "make test    the tests; ARGS='-k name' for some of them"
	@echo "make lint    ruff and mypy"
	@echo "make format  lets ruff put the code in order"
	@echo "make setup   only the virtual environment, $(VENV)"
	@echo "make clean   removes $(VENV) and caches; logs/ stays"

setup: $(READY)

# The mark is older than requirements.txt only when these have changed, so that a second `make` asks for no network.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python >= 3.11 is needed; make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --progress-bar on -r requirements.txt
	@touch $@

# Demonstrations seed the replay, so that 40,000 steps do; docs/results/grid_domains.md has the runs without.
run: $(READY)
	$(BIN)/python main_collect_data.py --config_env=configs/envs/heaven_hell.py --episodes=3000 \
		--random_episodes=3000 --data_path=$(DEMO)/data --overwrite
	$(BIN)/python main_pretrain_representations.py --config_env=configs/envs/heaven_hell.py \
		--config_repr=configs/repr/heaven_hell.py --data_path=$(DEMO)/data --save_dir=$(DEMO)/representations
	$(BIN)/python main.py --config_env=configs/envs/heaven_hell.py --config_rl=configs/rl/dqn.py:mi \
		--config_seq=configs/seq/gru.py --state_embedder_dir=$(DEMO)/representations \
		--obs_embedder_dir=$(DEMO)/representations --start_expert_training=64 --train_episodes=800 \
		--save_dir=logs --group=demo --run_name=policy

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
