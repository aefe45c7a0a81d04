"""HeavenHell without demonstrations: a memory alone, with each bonus for visits, with that of `mi`, and with both."""

from ml_collections import ConfigDict

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
ENV = "--config_env=configs/envs/heaven_hell.py"


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "exploration"
    rows: dict[str, tuple[str, ...]] = {
        row: (f"--config_rl=configs/rl/dqn.py:{row}",) for row in ("history", "cv", "mv", "count", "rnd")
    }
    rows |= {row: (f"--config_rl=configs/rl/dqn.py:{row}", *EMBEDDERS) for row in ("mi", "mi_cv")}
    config.axes = ConfigDict({"method": rows, "seed": (0, 1, 2, 3, 4, 5, 6, 7)})
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": (ENV, "--episodes=3000", "--random_episodes=3000", "--seed=0"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": (ENV, "--config_repr=configs/repr/heaven_hell.py", "--data_path={collect}", "--seed=0"),
            },
            "train": {
                "script": "main.py",
                "over": ("method", "seed"),
                "flags": (ENV, "--seed={seed}", "--train_episodes=800", "--film_episodes=0"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 4})
    return config.lock()
