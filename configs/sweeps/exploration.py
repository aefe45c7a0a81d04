"""Without demonstrations: a memory alone, with each bonus for visits, with that of `mi`, and with both.

--config_sweep=configs/sweeps/exploration.py:DOMAIN; without one, HeavenHell.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")


class Domain(NamedTuple):
    """Random episodes of stage 1, and episodes' worth of steps of stage 3."""

    random: int
    train: int


DOMAINS = {
    "heaven_hell": Domain(3000, 800),
    "sphinx": Domain(3000, 1800),
    "car_flag_2d": Domain(1500, 4000),
}
VARIANTS = DOMAINS


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    domain, env = DOMAINS[variant], f"--config_env=configs/envs/{variant}.py"
    config = ConfigDict()
    config.name = "exploration" if variant == "heaven_hell" else f"exploration_{variant}"
    rows: dict[str, tuple[str, ...]] = {
        row: (f"--config_rl=configs/rl/dqn.py:{row}",) for row in ("history", "cv", "mv", "count", "rnd")
    }
    rows |= {row: (f"--config_rl=configs/rl/dqn.py:{row}", *EMBEDDERS) for row in ("mi", "mi_cv")}
    config.axes = ConfigDict({"method": rows, "seed": (0, 1, 2, 3, 4, 5, 6, 7)})
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": (env, "--episodes=3000", f"--random_episodes={domain.random}", "--seed=0"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": (env, f"--config_repr=configs/repr/{variant}.py", "--data_path={collect}", "--seed=0"),
            },
            "train": {
                "script": "main.py",
                "over": ("method", "seed"),
                "flags": (env, "--seed={seed}", f"--train_episodes={domain.train}", "--film_episodes=0"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 4})
    return config.lock()
