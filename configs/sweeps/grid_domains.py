"""The comparison on the grid domains: the rows of DQN but bonuses for visits and teachers, five seeds.

Rows zero_on and zero_off are checks of stage 2. How long each trains is a first guess where configs/sweeps/sure.py has
not run it.
"""

from ml_collections import ConfigDict

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
BELIEVER = ("--state_embedder_dir={pretrain_believer}", "--obs_embedder_dir={pretrain_believer}")
VECTOR = ("--config_repr=configs/repr/believer_vector.py",)
GRID = ("--config_repr=configs/repr/believer_grid.py",)


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "grid_domains"
    config.axes = ConfigDict(
        {
            "env": {
                "heaven_hell": {
                    "collect": ("--random_episodes=3000",),
                    "pretrain": ("--config_repr=configs/repr/heaven_hell.py",),
                    "pretrain_believer": VECTOR,
                    "train": ("--train_episodes=1200",),
                },
                "heaven_hell_6x9": {
                    "collect": ("--random_episodes=3000",),
                    "pretrain": ("--config_repr=configs/repr/heaven_hell.py",),
                    "pretrain_believer": VECTOR,
                    "train": ("--train_episodes=2400",),
                },
                "sphinx": {
                    "collect": ("--random_episodes=3000",),
                    "pretrain": ("--config_repr=configs/repr/sphinx.py",),
                    "pretrain_believer": GRID,
                    "train": ("--train_episodes=1500",),
                },
                "car_flag_2d": {
                    "collect": ("--random_episodes=1500",),
                    "pretrain": ("--config_repr=configs/repr/car_flag_2d.py",),
                    "pretrain_believer": GRID,
                    "train": ("--train_episodes=5000", "--start_expert_training=200"),
                },
            },
            "method": {
                "history": ("--config_rl=configs/rl/dqn.py:history",),
                "mi": ("--config_rl=configs/rl/dqn.py:mi", *EMBEDDERS),
                "ua": ("--config_rl=configs/rl/dqn.py:ua",),
                "ua_vr": ("--config_rl=configs/rl/dqn.py:ua_vr",),
                "ba": ("--config_rl=configs/rl/dqn.py:ba",),
                "ba_vr": ("--config_rl=configs/rl/dqn.py:ba_vr",),
                "zp": ("--config_rl=configs/rl/dqn.py:zp",),
                "believer": ("--config_rl=configs/rl/dqn.py:believer", *BELIEVER),
                "zero_on": ("--config_rl=configs/rl/dqn.py:zero_on", "--state_embedder_dir={pretrain}"),
                "zero_off": ("--config_rl=configs/rl/dqn.py:zero_off", *EMBEDDERS),
            },
            "seed": (0, 1, 2, 3, 4),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env",),
                "flags": ("--config_env=configs/envs/{env}.py", "--episodes=3000"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": ("--config_env=configs/envs/{env}.py", "--data_path={collect}"),
            },
            "pretrain_believer": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": ("--config_env=configs/envs/{env}.py", "--data_path={collect}"),
            },
            "train": {
                "script": "main.py",
                "over": ("env", "method", "seed"),
                "flags": ("--config_env=configs/envs/{env}.py", "--seed={seed}"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 6.0, "memory_gb": 3.0, "runs_per_job": 5})
    return config.lock()
