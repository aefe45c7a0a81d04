"""The comparison on continuous actions without a robot: the rows of SAC but those with a teacher, three seeds."""

from ml_collections import ConfigDict

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
BELIEVER = ("--state_embedder_dir={pretrain_believer}", "--obs_embedder_dir={pretrain_believer}")


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "continuous"
    config.axes = ConfigDict(
        {
            "env": {
                "car_flag_2d_continuous": {
                    "collect": ("--episodes=3000", "--random_episodes=1500"),
                    "pretrain": ("--config_repr.club_lr=1e-3",),
                    "train": ("--train_episodes=1000", "--start_expert_training=200"),
                },
                "masked": {  # no expert
                    "collect": ("--episodes=300", "--random_episodes=300"),
                    "pretrain": ("--config_repr.club_lr=1e-2",),
                    "train": (
                        *("--config_env.horizon=100", "--config_env.eval.interval=2000"),
                        *("--train_episodes=220", "--updates_per_step=0.2"),
                    ),
                },
            },
            "method": {
                "history": ("--config_rl=configs/rl/sac.py:history",),
                "mi": ("--config_rl=configs/rl/sac.py:mi", *EMBEDDERS),
                "ua": ("--config_rl=configs/rl/sac.py:ua",),
                "ba": ("--config_rl=configs/rl/sac.py:ba",),
                "zp": ("--config_rl=configs/rl/sac.py:zp",),
                "believer": ("--config_rl=configs/rl/sac.py:believer", *BELIEVER),
                "embed": ("--config_rl=configs/rl/sac.py:embed",),
                "zero_on": ("--config_rl=configs/rl/sac.py:zero_on", "--state_embedder_dir={pretrain}"),
                "zero_off": ("--config_rl=configs/rl/sac.py:zero_off", *EMBEDDERS),
            },
            "seed": (0, 1, 2),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env",),
                "flags": ("--config_env=configs/envs/{env}.py",),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/{env}.py",
                    "--config_repr=configs/repr/vector.py",
                    "--data_path={collect}",
                ),
            },
            "pretrain_believer": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/{env}.py",
                    "--config_repr=configs/repr/believer_vector.py:gru",
                    "--config_repr.num_epochs=60",
                    "--data_path={collect}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("env", "method", "seed"),
                "flags": ("--config_env=configs/envs/{env}.py", "--seed={seed}", "--config_rl.precision=bf16"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 4.0, "memory_gb": 3.0, "runs_per_job": 3})
    return config.lock()
