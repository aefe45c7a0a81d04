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
_RANDOM = flags.DEFINE_integer(
    "random_episodes", 0, "how many of them (the first ones) take uniform random actions", lower_bound=0
)
_GUESS = flags.DEFINE_float(
    "guess_share",
    0.0,
    "share of the expert's episodes in which it guesses without the information",
    lower_bound=0.0,
    upper_bound=1.0,
)
_EXPERT = flags.DEFINE_string(
    "expert_policy_dir",
    None,
    "a finished run or its policy folder, such as scripts/solve.py writes, in place of the domain's own expert",
)
_SEED = define_seed(42, "the same seed and --num_envs give the same episodes")
_NUM_ENVS = flags.DEFINE_integer("num_envs", 64, "envs that are stepped together", lower_bound=1)
_PATH = flags.DEFINE_string("data_path", None, "folder to write; data/<env id>_s<seed>_<episodes>ep if not given")
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "replace a dataset that is already there")
_AUG = flags.DEFINE_boolean(
    "aug", False, "each of the expert's episodes counts with turned copies; stage 2 makes them, anew in every epoch"
)
_N_AUG = flags.DEFINE_integer("n_aug", None, "how many copies --aug asks for; the domain's if not given", lower_bound=1)


def main() -> None:
    """Keeps the destination for this process, and hands over."""
    from utils.folders import kept_for_us

    path = Path(_PATH.value or f"data/{_ENV.value.id}_s{_SEED.value}_{_EPISODES.value}ep").expanduser()
    if _RANDOM.value > _EPISODES.value:
        raise UserError(
            f"--random_episodes={_RANDOM.value} is more than --episodes={_EPISODES.value}; it is a part of them"
        )
    with kept_for_us(path):
        collect(path)


def collect(path: Path) -> None:
    """Checks the flags, plays, writes and tells what the episodes cover."""
    from buffers.augment import check_turnable
    from buffers.dataset import check_destination, write_dataset
    from envs.make import make_vector_env
    from policies.acting.collect import collect_episodes, coverage
    from policies.acting.rollout import check_expert
    from utils.progress import progress
    from utils.run import git_revision

    config_env, episodes, num_random = _ENV.value, _EPISODES.value, _RANDOM.value
    n_aug = copies_asked_for(config_env)
    check_destination(path, overwrite=_OVERWRITE.value)
    envs = make_vector_env(config_env, 1, seed=0)
    spec, action_space = envs.spec_sizes, envs.single_action_space
    if n_aug:
        check_turnable(spec, "--aug")
    expert, expert_digest = expert_policy(spec)
    if num_random < episodes and expert is None:
        check_expert(envs, "--random_episodes", "give as many as --episodes, or --expert_policy_dir")
    envs.close()
    stop = StopRequest()

    def count(bar: Any) -> None:
        bar.update()
        stop.interrupt()

    with stop.listening(), progress(episodes, desc="playing", unit="episode") as bar:
        played = collect_episodes(
            lambda num, seed: make_vector_env(config_env, num, seed=seed),
            num_random,
            episodes - num_random,
            num_envs=_NUM_ENVS.value,
            seed=_SEED.value,
            guess_share=_GUESS.value,
            expert_policy=expert,
            on_episode=lambda episode: count(bar),
        )
    covered = coverage(played)
    metadata = {
        "seed": _SEED.value,
        "num_envs": _NUM_ENVS.value,
        "episodes": episodes,
        "random_episodes": num_random,
        "expert_share": 1 - num_random / episodes,
        "guess_share": _GUESS.value,
        "expert_policy_sha256": expert_digest,
        "augmentation": {"kind": config_env.augment if n_aug else "", "n_aug": n_aug},
        "git_revision": git_revision(),
        "coverage": covered,
        "config_env": to_dict(config_env),
    }
    with stop.listening(), progress(episodes, desc="writing", unit="episode") as bar:
        write_dataset(
            path,
            played,
            spec,
            metadata,
            action_space,
            overwrite=_OVERWRITE.value,
            on_episode=lambda episode: count(bar),
        )
    print(table(covered))
    print(f"written to {path}")


def expert_policy(spec: Any) -> tuple[Any, str | None]:
    """The policy of --expert_policy_dir and the digest of its files; None where it was not given.

    Raises:
        UserError: there is none that acts on the domain's observations, or it is asked to guess.
    """
    if _EXPERT.value is None:
        return None, None
    if _GUESS.value:
        raise UserError("--guess_share: a policy does not guess; leave out this flag or --expert_policy_dir")
    from policies.acting.evaluate import GreedyPolicy
    from policies.deployed.files import load_policy, policy_digest
    from utils.config import warn_of_another_task
    from utils.device import prepare_cpu

    prepare_cpu(1)
    policy, about = load_policy(_EXPERT.value, spec, flag="--expert_policy_dir")
    row = about["config"]["rl"]
    if row.get("observe"):
        name = f"{row['family']}:{row['variant']}"
        raise UserError(f"--expert_policy_dir: {name} acts on embeddings; give one that acts on observations")
    warn_of_another_task("--expert_policy_dir", about["config"].get("env", {}), _ENV.value)
    return GreedyPolicy(policy), policy_digest(_EXPERT.value)


def copies_asked_for(config_env: Any) -> int:
    """How many turned copies --aug and --n_aug ask for of each of the expert's episodes; 0 for none.

    Raises:
        UserError: the domain has no images that can be turned, or --n_aug stands alone.
    """
    from buffers.augment import choose_kind

    if _N_AUG.value is not None and not _AUG.value:
        raise UserError("--n_aug counts the copies that --aug makes; give both or neither")
    if not _AUG.value:
        return 0
    if not choose_kind(config_env.augment):
        raise UserError(f"--aug: {config_env.id} has no images that can be turned (its augment is ''); leave out --aug")
    return int(_N_AUG.value or max(1, config_env.n_aug))


def table(covered: dict[str, dict[str, float]]) -> str:
    """Coverage as aligned text, one line a kind of episode; a dash for what the env does not tell."""
    forms = {"episodes": ",", "steps": ",", "success": ".3f", "informed": ".3f", "length": ".1f", "return": ".3f"}
    lines = [f"{'':8}" + "".join(f"{name:>10}" for name in forms)]
    for kind, row in covered.items():
        cells = [format(row[name], form) if name in row else "–" for name, form in forms.items()]
        lines.append(f"{kind:8}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
