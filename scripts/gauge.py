"""Takes the measure of finished or interrupted runs' memories: how many nats they hold of the belief.

Of each run the newest policy and the best one. What is found is printed, and kept in gauge.json in the run's folder.

Example: python scripts/gauge.py logs/default/mi --estimator=mine --episodes=4096
"""

import json
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from absl import flags

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the root, not scripts/

from policies.deployed.flags import define_domain, define_run, folder_of
from utils.app import define_seed, run
from utils.files import atomic_write

_ENV, _TRUST = define_domain()
_RUN = define_run()
_EPISODES = flags.DEFINE_integer("episodes", 1024, "greedy episodes, one pair each", lower_bound=8)
_ESTIMATOR = flags.DEFINE_string("estimator", "infonce", "one of torchkit.information")
_STATE_EMBEDDER = flags.DEFINE_string("state_embedder_dir", None, "where the run's is now, if it was moved")
_OBS_EMBEDDER = flags.DEFINE_string("obs_embedder_dir", None, "where the run's is now, if it was moved")
_SEED = define_seed(0, "of the episodes")


def main() -> None:
    """Measures each policy of the run."""
    from envs.make import width_for
    from policies.acting.embedded_envs import env_maker
    from policies.deployed.files import check_fits, load_policy, settings_of
    from policies.deployed.trust import config_of
    from policies.probing.gauge import BeliefGauge

    folder = folder_of(_RUN)
    folders = [folder / name for name in ("policy", "policy_best") if (folder / name / "policy.json").exists()]
    found = {}
    for one in folders or [folder]:
        policy, about = load_policy(str(one), flag="--run")
        config, settings = config_of(about, _ENV.value, _TRUST.value, "--run"), settings_of(about)
        embedders = (
            _STATE_EMBEDDER.value or settings["state_embedder"],
            _OBS_EMBEDDER.value or settings["obs_embedder"],
        )
        make_envs, _ = env_maker(config, *embedders)
        with closing(make_envs(width_for(config.env, _EPISODES.value), seed=_SEED.value)) as envs:
            check_fits(about, envs.spec_sizes, "--run")
            gauge = BeliefGauge(config, envs, "--run", _ESTIMATOR.value, _EPISODES.value)
            found[one.name] = gauge.measure(policy, _SEED.value)
        print("\n".join(told(one.name, found[one.name])))
    about_it = {"estimator": _ESTIMATOR.value, "episodes": _EPISODES.value, "seed": _SEED.value}
    atomic_write(folder / "gauge.json", json.dumps(about_it | {"policies": found}, indent=1) + "\n")


def told(name: str, found: Mapping[str, float]) -> list[str]:
    """What was found of a policy, in lines."""
    lines = [f"{name}: return {found['return']:.3g}; I(memory; …) in nats:"]
    for part in (part for part in found if part != "return" and not part.endswith("_entropy")):
        most = found.get(f"{part}_entropy")
        lines.append(f"  {part:12} {found[part]:.3f}" + ("" if most is None else f" of {most:.3f}"))
    return lines


if __name__ == "__main__":
    run(main, positional="run")
