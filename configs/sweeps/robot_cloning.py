"""The robot domains by behaviour cloning alone: three seeds, each with demonstrations of its own.

`python scripts/results.py logs/robot_cloning/train --page=docs/results/robot_cloning.md` makes a page of it.
"""

from ml_collections import ConfigDict

CONFIG = "--config_env=configs/envs/robot.py:{name}"
SIZES = {  # demonstrations and updates
    "block_pulling": (400, 3000),
    "block_pushing": (1000, 5000),
    "drawer_opening": (400, 3000),
}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "robot_cloning"
    envs = {
        name: {
            "collect": (CONFIG.format(name=name), f"--episodes={demonstrations}"),
            "train": (
                CONFIG.format(name=name),
                f"--config_rl.num_updates={updates}",
                f"--config_env.eval.interval={updates}",
            ),
        }
        for name, (demonstrations, updates) in SIZES.items()
    }
    config.axes = ConfigDict({"env": envs, "seed": (0, 1, 2)})
    nearest = "--config_env.kwargs.first=nearest"  # what a coin says no picture tells
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env", "seed"),
                "flags": (nearest, "--num_envs=16", "--seed={seed}"),
            },
            "train": {
                "script": "main.py",
                "over": ("env", "seed"),
                "flags": (
                    nearest,
                    "--config_rl=configs/rl/offline.py:bc",
                    "--config_seq=configs/seq/gru.py",
                    "--config_seq.kwargs.out_dim=160",
                    "--data_path={collect}",
                    "--seed={seed}",
                    "--film_episodes=0",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 4.0, "runs_per_job": 3})
    return config.lock()
