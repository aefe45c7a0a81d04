r"""Stage 3: trains an agent, or with --policy_dir evaluates and films a finished one. The same command resumes a run.

Example: python main.py --config_env=configs/envs/heaven_hell.py --config_rl=configs/rl/dqn.py:mi \
    --state_embedder_dir=DIR --obs_embedder_dir=DIR
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import flags

from utils.app import define_seed, run
from utils.config import define_config_flag
from utils.errors import UserError
from utils.optional import need

BEGAN = time.monotonic()

_ENV = define_config_flag("config_env", None, "the domain, such as configs/envs/heaven_hell.py", required=True)
_RL = define_config_flag("config_rl", "configs/rl/dqn.py:history", "family and variant, such as configs/rl/dqn.py:mi")
_SEQ = define_config_flag("config_seq", "configs/seq/gru.py", "the memory")
_REPR = define_config_flag("config_repr", None, "sizes of encoders that are not read from a file")
_STATE_EMBEDDER = flags.DEFINE_string("state_embedder_dir", None, "folder or file of the state embedder (stage 2)")
_OBS_EMBEDDER = flags.DEFINE_string("obs_embedder_dir", None, "folder or file of the observation embedder (stage 2)")
_POLICY = flags.DEFINE_string(
    "policy_dir", None, "a finished run, its policy folder or a published .pt: evaluate and film it"
)
_GROUP = flags.DEFINE_string("group", "default", "folder of runs that belong together, within --save_dir")
_SAVE_DIR = flags.DEFINE_string("save_dir", "logs", "folder of all runs")
_RUN_NAME = flags.DEFINE_string(
    "run_name",
    None,
    "the run's folder; made of env, method, memory and seed if not given; of several seeds, `_s<seed>` is appended",
)
_SEED = define_seed(42, "fixes everything on the CPU")
_NUM_SEEDS = flags.DEFINE_integer(
    "num_seeds", 1, "independent runs in one command: --seed, --seed + 1, …, each in its folder", lower_bound=1
)
_BATCH_SEEDS = flags.DEFINE_boolean(
    "batch_seeds", None, "compute the updates of --num_seeds as one batch; on a GPU alone, if not given"
)
_EPISODES = flags.DEFINE_integer("train_episodes", 1000, "length of training, in horizons of env steps", lower_bound=1)
_NUM_ENVS = flags.DEFINE_integer("num_envs", 16, "envs that are stepped together", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", None, "episodes a batch; the config's if not given", lower_bound=1)
_UPDATES = flags.DEFINE_float("updates_per_step", None, "updates an env step; the config's if not given", lower_bound=0)
_START = flags.DEFINE_integer(
    "start_training", 10, "random episodes before training; none for a2c, which learns from fresh ones", lower_bound=0
)
_EXPERT = flags.DEFINE_integer(
    "start_expert_training", 0, "successful expert episodes kept in the replay", lower_bound=0
)
_WINDOW = flags.DEFINE_integer(
    "sampled_seq_len", None, "longest replayed sequence; the horizon if not given", lower_bound=1
)
_EVAL = flags.DEFINE_integer(
    "eval_episodes", None, "greedy episodes an evaluation; the config's if not given", lower_bound=1
)
_FILMED = flags.DEFINE_integer(
    "film_episodes", 3, "episodes in the film of the finished policy; 0 for none", lower_bound=0
)
_CUDA = flags.DEFINE_integer("cuda", None, "index of the GPU, -1 for the CPU; a GPU if there is one, if not given")
_THREADS = flags.DEFINE_integer("threads", 1, "CPU threads of one process", lower_bound=1)
_WANDB = flags.DEFINE_boolean("wandb", False, "mirror the metrics to Weights & Biases (offline without an account)")
_TENSORBOARD = flags.DEFINE_boolean("tensorboard", False, "mirror the metrics to TensorBoard")
_LIMIT = flags.DEFINE_float("time_limit", None, "hours after which to save and stop", lower_bound=0)
_CHECKPOINT = flags.DEFINE_float("checkpoint_minutes", 5.0, "at most so long between checkpoints", lower_bound=0)


def main() -> None:
    """Resolves the configs, builds the parts in the order in which data meets them, and hands over."""
    from envs.make import horizon_of
    from policies.training.many_seeds import SeedRun, train_seeds
    from policies.training.replay import replay
    from policies.training.resolve import resolve
    from policies.training.run import Settings, train
    from utils.config import override_values
    from utils.run import check_name

    flags_for_rl = {"batch_size": _BATCH.value, "updates_per_step": _UPDATES.value}
    config = resolve(
        _ENV.value,
        _RL.value,
        _SEQ.value,
        _REPR.value,
        set(override_values("config_rl")),
        flags_for_rl,
        set(override_values("config_seq")),
    )
    for flag in (_GROUP, _RUN_NAME):
        check_name(flag.value, f"--{flag.name}")
    save_dir = str(Path(_SAVE_DIR.value).expanduser())  # a shell leaves the ~ of --save_dir=~/logs as it is
    with config.env.unlocked():
        config.env.horizon = horizon_of(config.env)
        if _EVAL.value is not None:
            config.env.eval.episodes = _EVAL.value
    if _POLICY.value is not None:
        if _NUM_SEEDS.value > 1:
            raise UserError(
                "--num_seeds: a saved policy is evaluated with one seed; leave out this flag or --policy_dir"
            )
        replay(
            _POLICY.value,
            config,
            state_embedder=_STATE_EMBEDDER.value,
            obs_embedder=_OBS_EMBEDDER.value,
            seed=_SEED.value,
            film_episodes=_FILMED.value,
            cuda=_CUDA.value,
            threads=_THREADS.value,
            save_dir=save_dir,
            say=print,
        )
        return
    # a wandb sweep's runs may differ in anything
    suffix = f"_{os.environ['WANDB_RUN_ID']}" if "WANDB_SWEEP_ID" in os.environ else ""

    def name(seed: int) -> str:
        if _RUN_NAME.value is not None:
            return _RUN_NAME.value if _NUM_SEEDS.value == 1 else f"{_RUN_NAME.value}_s{seed}"
        return f"{config.env.id}_{config.rl.family}-{config.rl.variant}_{config.seq.memory}_s{seed}{suffix}"

    settings = Settings(
        seed=_SEED.value,
        train_episodes=_EPISODES.value,
        num_envs=_NUM_ENVS.value,
        start_random=_START.value,
        start_expert=_EXPERT.value,
        window=_WINDOW.value or config.env.horizon,
        state_embedder=_STATE_EMBEDDER.value,
        obs_embedder=_OBS_EMBEDDER.value,
        threads=_THREADS.value,
    )
    runs = [
        SeedRun(replace(settings, seed=seed), (save_dir, f"{_GROUP.value}/{name(seed)}"))
        for seed in range(_SEED.value, _SEED.value + _NUM_SEEDS.value)
    ]
    mirrors = [mirror for mirror, on in (("tensorboard", _TENSORBOARD.value), ("wandb", _WANDB.value)) if on]
    for mirror in mirrors:
        need(f"--{mirror}", mirror)
    options: dict[str, Any] = {
        "command": sys.argv,
        "cuda": _CUDA.value,
        "mirrors": mirrors,
        "film_episodes": _FILMED.value,
        "checkpoint_minutes": _CHECKPOINT.value,
        "time_limit_hours": _LIMIT.value,
        "began": BEGAN,
        "say": print,
    }
    if len(runs) == 1:
        if _BATCH_SEEDS.value:
            raise UserError("--batch_seeds: it is for --num_seeds above 1")
        exit_code = train(config, runs[0].settings, folder=runs[0].folder, **options)
    else:
        exit_code = train_seeds(config, runs, batch=_BATCH_SEEDS.value, **options)
    if exit_code:
        sys.exit(exit_code)


if __name__ == "__main__":
    run(main)
