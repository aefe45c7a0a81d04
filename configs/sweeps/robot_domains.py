"""The comparison on the robot domains, three seeds.

Budgets are those of the published scripts where known: 80 expert episodes, 800 episodes of training, a transformer.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "robot_domains"
    config.axes = ConfigDict(
        {
            "env": ("block_pulling", "block_pushing", "drawer_opening"),
            "method": {
                "history": ("--config_rl=configs/rl/sac.py:history",),
                "mi": (
                    "--config_rl=configs/rl/sac.py:mi",
                    "--state_embedder_dir={pretrain}",
                    "--obs_embedder_dir={pretrain}",
                ),
                "ua": ("--config_rl=configs/rl/sac.py:ua",),
                "ba": ("--config_rl=configs/rl/sac.py:ba",),
                "zp": ("--config_rl=configs/rl/sac.py:zp",),
                "believer": (
                    "--config_rl=configs/rl/sac.py:believer",
                    "--state_embedder_dir={pretrain_believer}",
                    "--obs_embedder_dir={pretrain_believer}",
                ),
            },
            "seed": (0, 1, 2),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/robot.py:{env}",
                    "--episodes=1500",
                    "--random_episodes=300",
                    "--guess_share=0.25",
                    "--num_envs=16",
                    "--aug",
                ),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/robot.py:{env}",
                    "--config_repr=configs/repr/robot.py:{env}",
                    "--data_path={collect}",
                ),
                "slurm": {"gpus": 1},
            },
            "pretrain_believer": {
                "script": "main_pretrain_representations.py",
                "over": ("env",),
                "flags": (
                    "--config_env=configs/envs/robot.py:{env}",
                    "--config_repr=configs/repr/believer_robot.py",
                    "--data_path={collect}",
                ),
                "slurm": {"gpus": 1},
            },
            "train": {
                "script": "main.py",
                "over": ("env", "method", "seed"),
                "flags": (
                    "--config_env=configs/envs/robot.py:{env}",
                    "--config_seq=configs/seq/gpt.py",
                    "--seed={seed}",
                    "--train_episodes=800",
                    "--start_expert_training=80",
                    "--start_training=0",
                ),
                "slurm": {"gpus": 1, "runs_per_job": 3},
            },
        }
    )
    config.slurm = ConfigDict({"hours": 24.0, "memory_gb": 16.0})
    return config.lock()
