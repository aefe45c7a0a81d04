"""Stage 1: plays random and expert episodes of a domain and writes them as a Minari dataset.

Example: python main_collect_data.py --config_env=configs/envs/heaven_hell.py --episodes=3000 --random_episodes=1500
"""

from pathlib import Path
from typing import Any

from absl import flags

from utils.app import define_seed, run
from utils.config import define_config_flag, to_dict
from utils.errors import UserError
from utils.stopping import StopRequest

_ENV = define_config_flag("config_env", None, "the domain, such as configs/envs/heaven_hell.py", required=True)
_EPISODES = flags.DEFINE_integer("episodes", 3000, "episodes in all", lower_bound=1)
_RANDOM = flags.DEFINE_integer("random_episodes", 0, "how many of them, the first, act at random", lower_bound=0)
_GUESS = flags.DEFINE_float(
    "guess_share", 0.0, "share of the expert's episodes in which it guesses, uninformed", lower_bound=0, upper_bound=1
)
_EXPERT = flags.DEFINE_string(
    "expert_policy_dir", None, "a finished run or policy, as scripts/solve.py writes, in place of the domain's expert"
)
_SEED = define_seed(42, "the same seed and --num_envs give the same episodes")
_NUM_ENVS = flags.DEFINE_integer("num_envs", 64, "envs that are stepped together", lower_bound=1)
_PATH = flags.DEFINE_string("data_path", None, "folder to write; data/<env id>_s<seed>_<episodes>ep if not given")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "replace a dataset that is already there")
_AUG = flags.DEFINE_boolean("aug", False, "the expert's episodes count with turned copies, which stage 2 makes anew")
_N_AUG = flags.DEFINE_integer("n_aug", None, "how many copies --aug asks for; the domain's if not given", lower_bound=1)


def main() -> None:
    """Keeps the destination for this process, and hands over."""
    from utils.folders import kept_for_us

    path = Path(_PATH.value or f"data/{_ENV.value.id}_s{_SEED.value}_{_EPISODES.value}ep").expanduser()
    if _RANDOM.value > _EPISODES.value:
        raise UserError(f"--random_episodes={_RANDOM.value} is more than --episodes={_EPISODES.value}")
    if _RANDOM.value == _EPISODES.value and _GUESS.value:
        raise UserError("--guess_share: all --episodes are --random_episodes, and no expert plays; leave it out")
    with kept_for_us(path):
        collect(path)


def collect(path: Path) -> None:
    """Checks the flags, plays, writes and tells what the episodes cover."""
    from buffers.augment import copies_asked_for
    from buffers.dataset import check_destination, write_dataset
    from envs.make import maker
    from policies.acting.collect import collect_episodes, coverage, coverage_table
    from policies.acting.rollout import check_expert
    from policies.deployed.expert import expert_policy
    from utils.progress import progress
    from utils.run import git_revision

    config_env, episodes, num_random = _ENV.value, _EPISODES.value, _RANDOM.value
    check_destination(path, overwrite=_OVERWRITE.value)
    make_envs = maker(config_env, min(_NUM_ENVS.value, episodes))
    envs = make_envs(1, seed=0)
    spec, action_space = envs.spec_sizes, envs.single_action_space
    n_aug = copies_asked_for(config_env, spec, _AUG.value, _N_AUG.value)
    expert, expert_digest = expert_policy(_EXPERT.value, spec, config_env, _GUESS.value)
    if num_random < episodes and expert is None:
        check_expert(envs, "--random_episodes", "give as many as --episodes, or --expert_policy_dir")
    envs.close()
    stop = StopRequest()
    how: dict[str, Any] = {"seed": _SEED.value, "num_envs": _NUM_ENVS.value, "guess_share": _GUESS.value}

    def count(episode: Any) -> None:
        bar.update()
        stop.interrupt("before the data set was written; the same command starts over")

    with stop.listening(), progress(episodes, desc="playing", unit="episode") as bar:
        played = collect_episodes(
            lambda num, seed: make_envs(num, seed=seed),
            *(num_random, episodes - num_random),
            on_episode=count,
            expert_policy=expert,
            **how,
        )
    covered = coverage(played)
    metadata = how | {
        "episodes": episodes,
        "random_episodes": num_random,
        "expert_share": 1 - num_random / episodes,
        "expert_policy_sha256": expert_digest,
        "augmentation": {"kind": config_env.augment if n_aug else "", "n_aug": n_aug},
        "git_revision": git_revision(),
        "coverage": covered,
        "config_env": to_dict(config_env),
    }
    with stop.listening(), progress(episodes, desc="writing", unit="episode") as bar:
        write_dataset(path, played, spec, metadata, action_space, overwrite=_OVERWRITE.value, on_episode=count)
    print(coverage_table(covered))
    print(f"written to {path}")


if __name__ == "__main__":
    run(main)
