r"""Stage 2: trains embedders of state and observation on a stage-1 data set. The same command resumes.

Example: python main_pretrain_representations.py --config_env=configs/envs/heaven_hell.py \
    --config_repr=configs/repr/heaven_hell.py --data_path=data/HeavenHell-v0_s42_3000ep
"""

import sys

from absl import flags

from utils.app import define_seed, run
from utils.config import define_config_flag

_ENV = define_config_flag("config_env", None, "the domain, such as configs/envs/heaven_hell.py", required=True)
_REPR = define_config_flag("config_repr", None, "sizes and weights, such as configs/repr/heaven_hell.py", required=True)
_DATA = flags.DEFINE_string("data_path", None, "data set written by main_collect_data.py", required=True)
_MAX_ROWS = flags.DEFINE_integer(
    "max_rows", None, "rows of the data in memory at a time, which are then learned of in pieces; all if not given",
    lower_bound=1,
)  # fmt: skip
_EPOCHS = flags.DEFINE_integer("num_epochs", None, "passes over the data; the config's if not given", lower_bound=1)
_SEED = define_seed(0, "fixes everything on the CPU")
_CUDA = flags.DEFINE_integer("cuda", None, "index of the GPU, -1 for the CPU; a GPU if there is one, if not given")
_THREADS = flags.DEFINE_integer("threads", 1, "CPU threads of one process", lower_bound=1)
_LOG_FREQ = flags.DEFINE_integer(
    "log_freq", 50, "epochs between checkpoints, at most a minute apart; metrics come every epoch", lower_bound=1
)
_SAVE_DIR = flags.DEFINE_string("save_dir", None, "folder to write; logs/representations/<env id>_s<seed> if not given")
_INIT = flags.DEFINE_string("init_model", None, "folder of an earlier result, from whose weights to start")
_WANDB = flags.DEFINE_boolean("wandb", False, "mirror the metrics to Weights & Biases (offline without an account)")
_WANDB_NAME = flags.DEFINE_string("wandb_name", None, "the run's name there; the folder's if not given")
_REPORT = flags.DEFINE_integer("report_steps", 800, "optimiser steps of each network in the report", lower_bound=1)


def main() -> None:
    """Resolves the config and hands over."""
    from policies.representation.kinds import Settings
    from policies.representation.run import pretrain

    config_env, config_repr = _ENV.value, _REPR.value
    if _EPOCHS.value is not None:
        config_repr.num_epochs = _EPOCHS.value
    settings = Settings(
        data_path=_DATA.value,
        save_dir=_SAVE_DIR.value or f"logs/representations/{config_env.id}_s{_SEED.value}",
        seed=_SEED.value,
        log_freq=_LOG_FREQ.value,
        init_model=_INIT.value,
        cuda=_CUDA.value,
        threads=_THREADS.value,
        wandb=_WANDB.value,
        wandb_name=_WANDB_NAME.value,
        report_steps=_REPORT.value,
        max_rows=_MAX_ROWS.value,
    )
    print(pretrain(config_env, config_repr, settings, sys.argv))


if __name__ == "__main__":
    run(main)
