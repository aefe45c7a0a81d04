"""Every memory, and none, with `mi`: --config_sweep=configs/sweeps/memories.py:DOMAIN; without one, HeavenHell.

Five seeds, each with data and encoders of its own. With `:t_maze`, `:repeat_first` and `:autoencode` `history` with all
of them 32 wide, three seeds: on T-Maze of 10 steps with demonstrations, and on tasks of POPGym (Morad et al., ICLR
2023), whose package must be there.
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
NARROW = {
    **{memory: (memory, WIDTH) for memory in ("gru", "lstm", "mingru", "bmru", "lru", "nbrc", "hybrid")},
    "gru_warmed": ("gru", WIDTH, WARM),
    "gpt": ("gpt",),  # as wide as its inputs
    "frame_stack": ("frame_stack", WIDTH),
    "brc": ("brc", WIDTH),
    "mgu": ("mgu", WIDTH),
    "mgu_warmed": ("mgu", WIDTH, WARM),
}


def popgym(task: str, horizon: int) -> tuple[str, ...]:
    """Its flags: suits of cards are seen and named, one a step."""
    return (
        "--config_env=configs/envs/third_party.py:popgym",
        f"--config_env.id=popgym-{task}-v0",
        f"--config_env.horizon={horizon}",
        "--config_env.eval.interval=2000",
        "--config_rl.lr=0.003",
        "--config_rl.exploration.steps=8000",
        "--updates_per_step=0.1",
        "--train_episodes=800",
    )


TEN_STEPS = ("--config_env=configs/envs/t_maze.py:10", "--config_env.eval.interval=1000")
SMALL_TASKS = {
    "t_maze": (
        *TEN_STEPS,
        "--config_rl.lr=0.003",
        "--config_rl.return_lambda=1.0",
        "--config_rl.exploration.steps=4000",
        "--updates_per_step=0.3",
        "--start_expert_training=64",
        "--train_episodes=200",
    ),
    "repeat_first": popgym("RepeatFirstEasy", 52),  # at each of 51 steps the card that was seen first
    "autoencode": popgym("AutoencodeEasy", 104),  # 52 cards, from the last to the first
}
MEMORIES = {
    **{
        memory: (memory,)
        for memory in ("gru", "lstm", "mgu", "brc", "nbrc", "bmru", "mingru", "lru", "hybrid", "gpt", "frame_stack")
    },
    "gru_warmed": ("gru", WARM),
    "markov": ("markov",),
}
VARIANTS: dict[str, object] = {**DOMAINS, **SMALL_TASKS}


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    return with_history(variant) if variant in SMALL_TASKS else with_mi(variant)


def with_history(task: str) -> ConfigDict:
    config = ConfigDict()
    config.name = f"memories_{task}"
    memories = {
        label: {"train": (f"--config_seq=configs/seq/{memory}.py", *flags)}
        for label, (memory, *flags) in NARROW.items()
    }
    config.axes = ConfigDict({"seed": (0, 1, 2), "memory": memories})
    train = {"script": "main.py", "over": ("seed", "memory"), "flags": (*SMALL, *SMALL_TASKS[task])}
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
