"""Learning rate, bonus weight and memory of `mi` on HeavenHell, searched with Optuna; a trial is two seeds."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "search"
    config.axes = ConfigDict({"seed": (0, 1)})
    config.search = ConfigDict(
        {
            "metric": "mean_of_last_ten.success",  # a field of summary.json; the mean over a trial's runs counts
            "direction": "maximize",
            "trials": 20,
            "fields": {  # each is drawn anew for a trial, and stands for itself in the flags
                "lr": {"low": 1e-4, "high": 1e-2, "log": True},
                "bonus": {"low": 1.0, "high": 30.0, "log": True},
                "memory": {"choices": ("gru", "lstm")},
            },
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
                "over": ("trial", "seed"),
                "flags": (
                    "--config_env=configs/envs/heaven_hell.py",
                    "--config_rl=configs/rl/dqn.py:mi",
                    "--config_seq=configs/seq/{memory}.py",
                    "--config_rl.lr={lr}",
                    "--config_rl.intrinsic.information_gain.weight={bonus}",
                    "--state_embedder_dir={pretrain}",
                    "--obs_embedder_dir={pretrain}",
                    "--seed={seed}",
                    "--train_episodes=1200",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 2.0, "memory_gb": 2.0, "runs_per_job": 2})
    return config.lock()
