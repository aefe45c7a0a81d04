"""World models that tell the observation, the state or both, beside dqn's history and mi: Heaven-Hell-1, three seeds.

As many env steps for all; `python scripts/results.py logs/world_model/train --page=docs/results/dreamer.md` makes a
page of them.
"""

from ml_collections import ConfigDict

HEAVEN_HELL = (
    "--config_env=configs/envs/heaven_hell_n.py:1",
    "--config_env.horizon=20",
    "--config_env.eval.interval=1000",
)
DREAMER = (
    "--updates_per_step=0.2",
    "--config_rl.discount=0.95",
    "--config_rl.imagined_steps=10",
    "--config_rl.critic_bins=63",
    "--config_rl.auxiliary.world_model.bins=63",
    "--config_rl.actor_lr=1e-3",
    "--config_rl.critic_lr=3e-3",
    "--config_rl.entropy.start=0.03",
    "--config_rl.entropy.steps=6000",
)
DQN = (  # as in tiger.py, but that it explores for as much of the shorter run
    "--updates_per_step=0.2",
    "--config_seq.kwargs.out_dim=64",
    "--config_rl.head_dims=(64,64)",
    "--config_rl.lr=1e-3",
    "--config_rl.discount=0.9",
    "--config_rl.cut_traces=False",
    "--config_rl.exploration.steps=15000",
)
EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "world_model"
    config.axes = ConfigDict(
        {
            "method": {
                **{
                    row: (f"--config_rl=configs/rl/dreamer.py:{row}", *DREAMER)
                    for row in ("observed", "informed", "both")
                },
                "history": ("--config_rl=configs/rl/dqn.py:history", *DQN),
                "mi": (
                    "--config_rl=configs/rl/dqn.py:mi",
                    *DQN,
                    *EMBEDDERS,
                ),
            },
            "seed": (0, 1, 2),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "flags": (*HEAVEN_HELL, "--episodes=1000", "--random_episodes=1000"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "flags": (
                    *HEAVEN_HELL,
                    "--config_repr=configs/repr/heaven_hell.py",
                    "--num_epochs=200",
                    "--data_path={collect}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("method", "seed"),
                "flags": (
                    *HEAVEN_HELL,
                    "--seed={seed}",
                    "--start_training=100",
                    "--train_episodes=900",
                    "--film_episodes=0",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 0.5, "memory_gb": 2.0, "runs_per_job": 4})
    return config.lock()
