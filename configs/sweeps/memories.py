"""Every memory, and none, under the method and without it, on HeavenHell and Sphinx; five seeds."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "memories"
    config.axes = ConfigDict(
        {
            "env": {
                "heaven_hell": {"train": ("--train_episodes=1200",)},
                "sphinx": {"train": ("--train_episodes=1500",)},
            },
            "method": {
                "history": ("--config_rl=configs/rl/dqn.py:history",),
                "mi": (
                    "--config_rl=configs/rl/dqn.py:mi",
                    "--state_embedder_dir={pretrain}",
                    "--obs_embedder_dir={pretrain}",
                ),
            },
            "memory": ("gru", "lstm", "gpt", "markov", "mlp"),
            "seed": (0, 1, 2, 3, 4),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env",),
                "flags": ("--config_env=configs/envs/{env}.py", "--episodes=3000", "--random_episodes=3000"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/{env}.py",
                    "--config_repr=configs/repr/{env}.py",
                    "--data_path={collect}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("env", "method", "memory", "seed"),
                "flags": (
                    "--config_env=configs/envs/{env}.py",
                    "--config_seq=configs/seq/{memory}.py",
                    "--seed={seed}",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 12.0, "memory_gb": 3.0, "runs_per_job": 5})
    return config.lock()
