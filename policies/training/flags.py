"""The flags of a run of stage 3, and what they say: settings of what comes out, and options of the rest."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from policies.training.settings import Options, Settings
from utils.app import GREATEST_SEED, define_seed
from utils.config import define_config_flag, override_values
from utils.errors import UserError
from utils.optional import need
from utils.run import check_name

DEFAULTS = {"rl": "configs/rl/dqn.py:history", "seq": "configs/seq/gru.py"}  # config files

OF_TRAINING = (
    *("train_episodes", "num_envs", "batch_size", "updates_per_step", "start_training", "start_expert_training"),
    *("sampled_seq_len", "data_path", "time_limit", "checkpoint_minutes", "batch_seeds", "wandb", "tensorboard"),
    *("group", "run_name", "gauge", "gauge_interval", "expert_policy_dir", "max_rows"),
)

flags.disclaim_key_flags()  # they belong to the script that asks for them


def define_flags() -> None:
    """Defines them for the script that calls this."""
    define_config_flag("config_env", None, "the domain, such as configs/envs/heaven_hell.py", required=True)
    define_config_flag("config_rl", DEFAULTS["rl"], "family and variant, such as configs/rl/dqn.py:mi")
    define_config_flag("config_seq", DEFAULTS["seq"], "the memory")
    define_config_flag("config_repr", None, "sizes of encoders that are not read from a file")
    flags.DEFINE_string("state_embedder_dir", None, "folder or file of the state embedder (stage 2)")
    flags.DEFINE_string("obs_embedder_dir", None, "folder or file of the observation embedder (stage 2)")
    flags.DEFINE_string(
        "policy_dir", None, "a finished run, its policy folder or a published .pt: evaluate and film it"
    )
    flags.DEFINE_string("group", "default", "folder of runs that belong together, within --save_dir")
    flags.DEFINE_string("save_dir", "logs", "folder of all runs")
    flags.DEFINE_string(
        "run_name",
        None,
        "the run's folder; made of env, method, memory and seed if not given; of several seeds, `_s<seed>` is appended",
    )
    define_seed(42, "fixes everything on the CPU")
    flags.DEFINE_integer(
        "num_seeds", 1, "independent runs in one command: --seed, --seed + 1, …, each in its folder", lower_bound=1
    )
    flags.DEFINE_boolean(
        "batch_seeds", None, "compute the updates of --num_seeds as one batch; on a GPU alone, if not given"
    )
    flags.DEFINE_integer("train_episodes", 1000, "length of training, in horizons of env steps", lower_bound=1)
    flags.DEFINE_integer("num_envs", 16, "envs that are stepped together", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "episodes a batch; the config's if not given", lower_bound=1)
    flags.DEFINE_float("updates_per_step", None, "updates an env step; the config's if not given", lower_bound=0)
    flags.DEFINE_integer(
        "start_training",
        10,
        "random episodes before training; none for a2c, which learns from fresh ones",
        lower_bound=0,
    )
    flags.DEFINE_integer("start_expert_training", 0, "successful expert episodes kept in the replay", lower_bound=0)
    flags.DEFINE_integer("sampled_seq_len", None, "longest replayed sequence; the horizon if not given", lower_bound=1)
    flags.DEFINE_integer(
        "eval_episodes", None, "greedy episodes an evaluation; the config's if not given", lower_bound=1
    )
    flags.DEFINE_integer("film_episodes", 3, "episodes in the film of the finished policy; 0 for none", lower_bound=0)
    flags.DEFINE_integer("cuda", None, "index of the GPU, -1 for the CPU; a GPU if there is one, if not given")
    flags.DEFINE_integer("threads", 1, "CPU threads of one process", lower_bound=1)
    flags.DEFINE_enum("gauge", None, ("belief",), "measure how much the memory holds of this while it learns")
    flags.DEFINE_integer(
        "gauge_interval",
        None,
        "env steps between measures; if not given a fifth of the run, by particles half",
        lower_bound=1,
    )
    flags.DEFINE_boolean("wandb", False, "mirror the metrics to Weights & Biases (offline without an account)")
    flags.DEFINE_boolean("tensorboard", False, "mirror the metrics to TensorBoard")
    flags.DEFINE_float("time_limit", None, "hours after which to save and stop", lower_bound=0)
    flags.DEFINE_float("checkpoint_minutes", 5.0, "at most so long between checkpoints", lower_bound=0)
    flags.DEFINE_string(
        "expert_policy_dir", None, "a finished run or policy that teaches, of the row teacher or another"
    )
    flags.DEFINE_string("data_path", None, "stored episodes (stage 1), for a family that learns from them")
    flags.DEFINE_integer(
        "max_rows",
        None,
        "rows of --data_path in memory at a time, one more than steps in each episode; others are read when they are "
        "drawn; all if not given",
        lower_bound=1,
    )


def overrides(given: flags.FlagValues) -> dict[str, Any]:
    """What the command line says of fields of `config_rl`, `config_seq` and `config_env`, as `resolve` takes it.

    Raises:
        UserError: it names two teachers.
    """
    overridden = set(override_values("config_rl"))
    teacher = given.config_rl.teacher if "teacher" in overridden else "policy"
    if given.expert_policy_dir is not None and teacher != "policy":
        raise UserError(f"--expert_policy_dir: of --config_rl.teacher=policy, not {teacher}; give one of the two")
    return {
        "overridden": overridden,
        "overridden_seq": set(override_values("config_seq")),
        "given": {name for name in given if given[name].present},
        "flags": {
            "batch_size": given.batch_size,
            "updates_per_step": given.updates_per_step,
            "teacher": None if given.expert_policy_dir is None else "policy",  # of policies.deployed.teachers
        },
        "eval_episodes": given.eval_episodes,
    }


def settings_of(given: flags.FlagValues, config: ConfigDict, seed: int) -> Settings:
    """What decides what comes out."""
    return Settings(
        seed=seed,
        train_episodes=given.train_episodes,
        num_envs=given.num_envs,
        start_random=given.start_training,
        start_expert=given.start_expert_training,
        window=given.sampled_seq_len or config.env.horizon,
        state_embedder=given.state_embedder_dir,
        obs_embedder=given.obs_embedder_dir,
        threads=given.threads,
        data_path=given.data_path,
        expert_policy=given.expert_policy_dir,
        max_rows=given.max_rows,
    )


def options_of(given: flags.FlagValues, config: ConfigDict, seed: int, began: float) -> Options:
    """The rest; `began` is when the script began.

    Raises:
        UserError: a name that would lie outside of `--save_dir`, or flags that do not go together.
    """
    for flag in ("group", "run_name"):
        check_name(given[flag].value, f"--{flag}")
    if given.policy_dir is not None and given.num_seeds > 1:
        raise UserError("--num_seeds: a saved policy is evaluated with one seed; leave out this flag or --policy_dir")
    if given.batch_seeds and given.num_seeds == 1:
        raise UserError("--batch_seeds: it is for --num_seeds above 1")
    if given.gauge_interval is not None and given.gauge is None:
        raise UserError("--gauge_interval: it is for --gauge")
    mirrors = [mirror for mirror in ("tensorboard", "wandb") if given[mirror].value]
    for mirror in mirrors:
        need(f"--{mirror}", mirror)
    return Options(
        save_dir=str(Path(given.save_dir).expanduser()),  # a shell leaves the ~ of --save_dir=~/logs as it is
        name=f"{given.group}/{run_name(given, config, seed)}",
        command=sys.argv,
        cuda=given.cuda,
        mirrors=mirrors,
        film_episodes=given.film_episodes,
        checkpoint_minutes=given.checkpoint_minutes,
        time_limit_hours=given.time_limit,
        began=began,
        gauge=given.gauge,
        gauge_interval=given.gauge_interval,
    )


def warn_of_training(given: flags.FlagValues) -> None:
    """Warns of flags of training, of which nothing comes where a finished policy is played."""
    if unused := [f"--{name}" for name in OF_TRAINING if given[name].present]:
        warnings.warn(f"{', '.join(unused)}: not used with --policy_dir", RuntimeWarning, stacklevel=2)


def run_name(given: flags.FlagValues, config: ConfigDict, seed: int) -> str:
    """The name of the run of a seed within its group."""
    if given.run_name is not None:
        return str(given.run_name) if given.num_seeds == 1 else f"{given.run_name}_s{seed}"
    # a wandb sweep's runs may differ in anything
    suffix = f"_{os.environ['WANDB_RUN_ID']}" if "WANDB_SWEEP_ID" in os.environ else ""
    return f"{config.env.id}_{config.rl.family}-{config.rl.variant}_{config.seq.memory}_s{seed}{suffix}"


def runs_of(given: flags.FlagValues, config: ConfigDict, began: float) -> list[tuple[Settings, Options]]:
    """Those of `--num_seeds`, one after the other from `--seed` on.

    Raises:
        UserError: as `options_of`; or the last seed is none.
    """
    if given.seed + given.num_seeds - 1 > GREATEST_SEED:
        raise UserError(f"--num_seeds={given.num_seeds}: from --seed={given.seed} on there are not so many seeds")
    return [
        (settings_of(given, config, seed), options_of(given, config, seed, began))
        for seed in range(given.seed, given.seed + given.num_seeds)
    ]
