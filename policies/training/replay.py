"""A finished policy played and filmed again."""

from contextlib import closing
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from policies.acting.embedded_envs import env_maker
from policies.acting.evaluate import GreedyPolicy
from policies.deployed.files import check_deployable, load_policy
from policies.training.settings import Options, Settings
from policies.training.summary import play_final, table, write_film
from utils.config import warn_of_another_task
from utils.device import device_of, prepare_cpu
from utils.progress import Say


def replay(policy_dir: str, config: ConfigDict, settings: Settings, options: Options, say: Say) -> None:
    """Evaluates and films a saved policy; the film goes to its run's folder, a published file's into `save_dir`."""
    prepare_cpu(settings.threads)
    make_envs, _ = env_maker(config, settings.state_embedder, settings.obs_embedder)
    with closing(make_envs(1, seed=0)) as envs:
        module, about = load_policy(policy_dir, envs.spec_sizes, config)
    check_deployable(about, "--policy_dir")
    warn_of_another_task("--policy_dir", about["config"].get("env", {}), config.env)
    policy = GreedyPolicy(module.to(device_of(options.cuda)))
    trained_on = about["config"].get("env", {}).get("id", "?")
    method = f"{about['config']['rl']['family']}:{about['config']['rl']['variant']}"
    summary: dict[str, Any] = {
        "env": config.env.id,
        "method": method if trained_on == config.env.id else f"{method} trained on {trained_on}",
        "memory": about["config"]["seq"]["memory"],
        "episodes_seed": settings.seed,
        "final_episodes": config.env.eval.episodes,
        "final": play_final(policy, make_envs, config.env, settings.seed, config.env.eval.episodes),
    }
    say(table(summary))
    if options.film_episodes:
        folder = Path(policy_dir)
        folder = folder.parent if folder.name in ("policy", "policy_best") else folder
        folder = Path(options.save_dir, folder.stem) if folder.is_file() else folder
        path = write_film(policy, make_envs, settings.seed, folder / "films", options.film_episodes)
        if path is not None:
            say(f"film: {path}")
