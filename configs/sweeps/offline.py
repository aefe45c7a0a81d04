"""Offline rows on HeavenHell, from 2000 episodes of experts of whom most guess: five seeds, each with data of its own.

A clone does what most did. Expectiles are 0.5, and 0.9 where it says optimistic; what exact critics come to is in
docs/results/weighted.md. Pages of it are made with --by=rl.expectile.
"""

from ml_collections import ConfigDict

ROW = "--config_rl=configs/rl/offline.py"
EXPECTILES = {"": ("--config_rl.expectile=0.5",), "_optimistic": ("--config_rl.expectile=0.9",)}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "offline"
    weighted = {
        f"{row}{tau}": (f"{ROW}:{row}", *flags)
        for row in ("awr", "aawr", "aawr_marginal", "aawr_state")
        for tau, flags in EXPECTILES.items()
    }
    config.axes = ConfigDict({"method": {"bc": (f"{ROW}:bc",), **weighted}, "seed": (0, 1, 2, 3, 4)})
    env = "--config_env=configs/envs/heaven_hell.py"
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("seed",),
                "flags": (env, "--episodes=2000", "--guess_share=0.78", "--seed={seed}"),
            },
            "train": {
                "script": "main.py",
                "over": ("seed", "method"),
                "flags": (
                    env,
                    "--data_path={collect}",
                    "--seed={seed}",
                    "--film_episodes=0",
                    "--config_env.eval.interval=100",
                    "--config_rl.num_updates=3000",
                    "--config_rl.discount=0.95",
                    "--config_rl.inverse_temperature=10",
                    "--config_rl.actor_lr=1e-3",
                    "--config_rl.critic_lr=1e-3",
                    "--config_rl.tau=0.02",
                    "--config_rl.head_dims=(64,64)",
                    "--config_seq.kwargs.out_dim=32",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 0.5, "memory_gb": 2.0, "runs_per_job": 5})
    return config.lock()
