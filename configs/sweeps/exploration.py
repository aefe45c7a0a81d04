"""Without demonstrations: a memory alone, with each bonus for visits, with that of `mi`, and with both.

What counts as visited is the observation; on HeavenHell two rows more count states. `mi_unpaid` learns all that `mi`
does and is paid nothing for it: what is left is what its prediction of the state does.

--config_sweep=configs/sweeps/exploration.py:DOMAIN; without one, HeavenHell.
"""

from ml_collections import ConfigDict

from configs.sweeps.sure import DOMAINS

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
VARIANTS = {"heaven_hell": 800, "sphinx": 1800, "car_flag_2d": 4000}  # episodes' worth of steps


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    domain, env = DOMAINS[variant], f"--config_env=configs/envs/{variant}.py"
    config = ConfigDict()
    config.name = "exploration" if variant == "heaven_hell" else f"exploration_{variant}"
    rows: dict[str, tuple[str, ...]] = {
        row: (f"--config_rl=configs/rl/dqn.py:{row}",) for row in ("history", "cv", "mv", "count", "rnd")
    }
    rows |= {row: (f"--config_rl=configs/rl/dqn.py:{row}", *EMBEDDERS) for row in ("mi", "mi_cv")}
    rows["mi_unpaid"] = (*rows["mi"], "--config_rl.intrinsic.information_gain.weight=0.0")
    if variant == "heaven_hell":  # what is paid may see the state, what acts does not
        rows |= {
            f"{row}_state": (*rows[row], f"--config_rl.intrinsic.{bonus}.features=('state',)")
            for row, bonus in (("cv", "future_visitation"), ("mv", "marginal_visitation"))
        }
    config.axes = ConfigDict({"method": rows, "seed": (0, 1, 2, 3, 4, 5, 6, 7)})
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": (env, "--episodes=3000", *domain.collect, "--seed=0"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": (env, f"--config_repr=configs/repr/{domain.repr}.py", "--data_path={collect}", "--seed=0"),
            },
            "train": {
                "script": "main.py",
                "over": ("method", "seed"),
                "flags": (env, "--seed={seed}", f"--train_episodes={VARIANTS[variant]}", "--film_episodes=0"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 4})
    return config.lock()
