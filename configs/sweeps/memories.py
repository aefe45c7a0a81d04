"""Every memory, and none, with `mi`: --config_sweep=configs/sweeps/memories.py:DOMAIN; without one, HeavenHell.

Five seeds, each with data and encoders of its own. With `:t_maze` `history` with all of them 32 wide on T-Maze of 10
steps with demonstrations; three seeds.
"""

from ml_collections import ConfigDict

from configs.sweeps.sure import DOMAINS

WIDTH, WARM = "--config_seq.kwargs.out_dim=32", "--config_seq.warmup=100"
SMALL = (  # a small learner of short episodes
    "--config_rl=configs/rl/dqn.py:history",
    "--config_seq.vector.obs_dim=16",
    "--config_seq.vector.action_dim=16",
    "--config_rl.head_dims=(64,64)",
    "--config_rl.tau=0.02",
    "--batch_size=32",
    "--start_training=0",
    "--film_episodes=0",
    "--seed={seed}",
)
T_MAZE = {
    **{memory: (memory, WIDTH) for memory in ("gru", "lstm", "mingru", "bmru", "lru", "nbrc", "hybrid")},
    "gru_warmed": ("gru", WIDTH, WARM),
    "gpt": ("gpt",),  # as wide as its inputs
    "frame_stack": ("frame_stack", WIDTH),
    "brc": ("brc", WIDTH),
    "mgu": ("mgu", WIDTH),
    "mgu_warmed": ("mgu", WIDTH, WARM),
}
TEN_STEPS = ("--config_env=configs/envs/t_maze.py:10", "--config_env.eval.interval=1000")
MEMORIES = {
    **{
        memory: (memory,)
        for memory in ("gru", "lstm", "mgu", "brc", "nbrc", "bmru", "mingru", "lru", "hybrid", "gpt", "frame_stack")
    },
    "gru_warmed": ("gru", WARM),
    "markov": ("markov",),
}
VARIANTS: dict[str, object] = {**DOMAINS, "t_maze": T_MAZE}


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    return t_maze() if variant == "t_maze" else with_mi(variant)


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
            *TEN_STEPS,
            *SMALL,
            "--config_rl.lr=0.003",
            "--config_rl.return_lambda=1.0",
            "--config_rl.exploration.steps=4000",
            "--updates_per_step=0.3",
            "--start_expert_training=64",
            "--train_episodes=200",
        ),
    }
    config.stages = ConfigDict({"train": train})
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 3})
    return config.lock()


def with_mi(name: str) -> ConfigDict:
    domain, env = DOMAINS[name], f"--config_env=configs/envs/{name}.py"
    config = ConfigDict()
    config.name = f"memories_{name}"
    memories = {
        label: {"train": (f"--config_seq=configs/seq/{memory}.py", *flags)}
        for label, (memory, *flags) in MEMORIES.items()
    }
    config.axes = ConfigDict({"memory": memories, "seed": (0, 1, 2, 3, 4)})
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("seed",),
                "flags": (env, "--episodes=3000", "--seed={seed}", *domain.collect),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("seed",),
                "flags": (
                    env,
                    f"--config_repr=configs/repr/{domain.repr}.py",
                    "--data_path={collect}",
                    "--seed={seed}",
                ),
            },
            "train": {
                "script": "main.py",
                "over": ("memory", "seed"),
                "flags": (
                    env,
                    f"--config_rl=configs/rl/{domain.rl}.py:mi",
                    "--state_embedder_dir={pretrain}",
                    "--obs_embedder_dir={pretrain}",
                    *next(iter(domain.train.values())),
                    "--seed={seed}",
                    "--film_episodes=0",
                ),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 2.0, "memory_gb": 3.0, "runs_per_job": 5})
    return config.lock()
