"""HeavenHell, the method against a memory alone, two seeds each: the whole way in a quarter of an hour on two cores."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "quick"  # the folder, within --save_dir
    config.axes = ConfigDict(
        {
            "method": {
                "history": ("--config_rl=configs/rl/dqn.py:history",),
                "mi": (
                    "--config_rl=configs/rl/dqn.py:mi",
                    "--state_embedder_dir={pretrain}",  # the folder of that stage's job, which is waited for
                    "--obs_embedder_dir={pretrain}",
                ),
            },
            "seed": (0, 1),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": ("--config_env=configs/envs/heaven_hell.py", "--episodes=3000", "--random_episodes=3000"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": (
                    "--config_env=configs/envs/heaven_hell.py",
                    "--config_repr=configs/repr/heaven_hell.py",
                    "--data_path={collect}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("method", "seed"),
                "flags": ("--config_env=configs/envs/heaven_hell.py", "--seed={seed}", "--train_episodes=1000"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 2})
    return config.lock()
