"""The comparison on the robot domains, as published or small: --config_sweep=configs/sweeps/robot_domains.py:BUDGET.

`published`, three seeds: budgets of the published scripts where known, 80 expert episodes, 800 episodes of training, a
transformer. `two_cores`: what can be done without a GPU. How images are read and copied is the domain's in both, not as
published nor as in the runs that docs/robot_domains.md reports.
"""

from typing import Any

from ml_collections import ConfigDict

EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
OF_THE_BELIEVER = ("--state_embedder_dir={pretrain_believer}", "--obs_embedder_dir={pretrain_believer}")

VARIANTS: dict[str, dict[str, Any]] = {
    "published": {
        "methods": {
            "history": ("--config_rl=configs/rl/sac.py:history",),
            "mi": ("--config_rl=configs/rl/sac.py:mi", *EMBEDDERS),
            "ua": ("--config_rl=configs/rl/sac.py:ua",),
            "ba": ("--config_rl=configs/rl/sac.py:ba",),
            "zp": ("--config_rl=configs/rl/sac.py:zp",),
            "believer": ("--config_rl=configs/rl/sac.py:believer", *OF_THE_BELIEVER),
        },
        "seeds": (0, 1, 2),
        "pretrain": (),
        "train": ("--train_episodes=800",),
    },
    "two_cores": {
        "methods": {
            "history": ("--config_rl=configs/rl/sac.py:history",),
            "mi": (
                "--config_rl=configs/rl/sac.py:mi",
                *EMBEDDERS,
                "--config_rl.intrinsic.information_gain.bonus_target=own_step",
            ),
        },
        "seeds": (0,),
        "pretrain": (
            "--config_repr.num_epochs=8",
            "--config_repr.batch_size=128",
            "--config_repr.anneal=0.5",
        ),
        "train": (
            "--train_episodes=100",
            "--batch_size=16",
            "--config_rl.return_lambda=0.9",
            "--config_rl.auxiliary.use_actor=('behaviour_cloning',)",
            "--config_rl.temperature.target_entropy=-2",
            "--config_env.kwargs.first=nearest",
            "--config_env.eval.interval=500",
        ),
    },
}


def get_config(budget: str = "published") -> ConfigDict:
    """The sweep of a budget."""
    own = VARIANTS[budget]
    config = ConfigDict()
    config.name = "robot_domains" if budget == "published" else f"robot_domains_{budget}"
    config.axes = ConfigDict(
        {
            "env": ("block_pulling", "block_pushing", "drawer_opening"),
            "method": own["methods"],
            "seed": own["seeds"],
        }
    )
    of_domain = "--config_env=configs/envs/robot.py:{env}"
    stages: dict[str, dict[str, Any]] = {
        "collect": {
            "script": "main_collect_data.py",
            "over": ("env",),
            "flags": (
                of_domain,
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
                of_domain,
                "--config_repr=configs/repr/robot.py:{env}",
                "--data_path={collect}",
                *own["pretrain"],
            ),
            "slurm": {"gpus": 1},
        },
        "pretrain_believer": {
            "script": "main_pretrain_representations.py",
            "over": ("env",),
            "flags": (of_domain, "--config_repr=configs/repr/believer_robot.py", "--data_path={collect}"),
            "slurm": {"gpus": 1},
        },
        "train": {
            "script": "main.py",
            "over": ("env", "method", "seed"),
            "flags": (
                of_domain,
                "--config_seq=configs/seq/gpt.py",
                "--seed={seed}",
                "--start_expert_training=80",
                "--start_training=0",
                *own["train"],
            ),
            "slurm": {"gpus": 1, "runs_per_job": 3},
        },
    }
    if "believer" not in own["methods"]:
        del stages["pretrain_believer"]
    config.stages = ConfigDict(stages)
    config.slurm = ConfigDict({"hours": 24.0, "memory_gb": 16.0})
    return config.lock()
