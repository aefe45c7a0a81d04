"""Every memory, and none: under the method and without it, on HeavenHell and Sphinx; five seeds.

With `:t_maze` all of them 32 wide, two also warmed up, on T-Maze of 10 steps with demonstrations; three seeds.
"""

from ml_collections import ConfigDict

WIDTH, WARM = "--config_seq.kwargs.out_dim=32", "--config_seq.warmup=100"
T_MAZE = {
    **{memory: (memory, WIDTH) for memory in ("gru", "mingru", "bmru", "lru", "nbrc", "hybrid")},
    "gru_warmed": ("gru", WIDTH, WARM),
    "gpt": ("gpt",),  # as wide as its inputs
    "frame_stack": ("frame_stack", WIDTH),
    "brc": ("brc", WIDTH),
    "mgu": ("mgu", WIDTH),
    "mgu_warmed": ("mgu", WIDTH, WARM),
}


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    return t_maze() if variant == "t_maze" else heaven_hell()


def t_maze() -> ConfigDict:
    config = ConfigDict()
    config.name = "memories_t_maze"
    memories = {
        label: {"train": (f"--config_seq=configs/seq/{memory}.py", *flags)}
        for label, (memory, *flags) in T_MAZE.items()
    }
    config.axes = ConfigDict({"seed": (0, 1, 2), "memory": memories})
    train = {
        "script": "main.py",
        "over": ("seed", "memory"),
        "flags": (
            "--config_env=configs/envs/t_maze.py:10",
            "--config_env.eval.interval=1000",
            "--config_rl=configs/rl/dqn.py:history",
            "--config_seq.vector.obs_dim=16",
            "--config_seq.vector.action_dim=16",
            "--config_rl.head_dims=(64,64)",
            "--config_rl.lr=0.003",
            "--config_rl.tau=0.02",
            "--config_rl.return_lambda=1.0",
            "--config_rl.exploration.steps=4000",
            "--batch_size=32",
            "--updates_per_step=0.3",
            "--start_training=0",
            "--start_expert_training=64",
            "--train_episodes=200",
            "--film_episodes=0",
            "--seed={seed}",
        ),
    }
    config.stages = ConfigDict({"train": train})
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 3})
    return config.lock()


def heaven_hell() -> ConfigDict:
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
