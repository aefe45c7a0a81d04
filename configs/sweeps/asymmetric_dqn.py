"""The tasks of Asymmetric DQN (Baisero, Daley & Amato, 2022), its five methods and `mi`: …/asymmetric_dqn.py:TASK.

The published settings of a run are millions of steps of one env; these are of 120,000 to a million and have other
targets, Q(λ) with λ = 0.9 without cuts, for every method alike: no method has settings of its own. What a task's
settings are was chosen by up to three runs of `ua`, on MemoryFourRooms by three of one that sees the state as well,
which did not learn. `mi` alone has stages 1 and 2: each seed its own where a task's `own_encoders` says so, `pairs` of
data and encoders times policies of each where these take longer than a run (its runs are the stage `mi` then), else one
for all seeds.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Task(NamedTuple):
    """Its configs by name, and the flags of stages 1 to 3."""

    env: str
    repr: str
    collect: tuple[str, ...]
    train: tuple[str, ...]
    domain: tuple[str, ...] = ()  # of all stages
    seeds: int = 5
    own_encoders: bool = False  # data and encoders for each seed of `mi`, which take minutes
    pairs: int = 0  # of data and encoders, for equally many of the seeds of `mi` each


LEARNER = (
    "--config_seq=configs/seq/gru.py",
    "--config_seq.kwargs.out_dim=32",
    "--config_seq.vector.obs_dim=16",
    "--config_seq.vector.action_dim=16",
    "--config_rl.head_dims=(64,64)",
    "--config_rl.double_q=False",
    "--config_rl.cut_traces=False",
    "--config_rl.lr=0.001",
    "--config_rl.tau=0.02",
    "--batch_size=32",
)
TASKS = {
    "heaven_hell_3": Task(
        *("heaven_hell_n.py:3", "heaven_hell.py", ("--episodes=2000", "--random_episodes=1000")),
        (
            "--config_rl.discount=0.95",
            "--config_rl.exploration.steps=100000",
            "--updates_per_step=0.03",
            "--train_episodes=2500",
        ),
        seeds=20,
        own_encoders=True,
    ),
    "heaven_hell_4": Task(  # as the one before it, with twice the steps
        *("heaven_hell_n.py:4", "heaven_hell.py", ("--episodes=2000", "--random_episodes=1000")),
        (
            "--config_rl.discount=0.95",
            "--config_rl.exploration.steps=200000",
            "--updates_per_step=0.03",
            "--train_episodes=5000",
        ),
        seeds=20,
        own_encoders=True,
    ),
    "car_flag": Task(
        *("car_flag_7.py", "vector.py", ("--episodes=600", "--random_episodes=300")),
        (
            "--config_rl.discount=0.97",
            "--config_rl.exploration.steps=80000",
            "--updates_per_step=0.02",
            "--train_episodes=750",
        ),
        seeds=20,
        own_encoders=True,
    ),
    "cleaner": Task(
        *("cleaner.py", "vector.py", ("--episodes=600", "--random_episodes=300")),
        (
            "--config_seq.vector.obs_dim=32",
            "--config_rl.discount=0.97",
            "--config_rl.exploration.steps=100000",
            "--batch_size=16",
            "--updates_per_step=0.02",
            "--train_episodes=1500",
        ),
        seeds=20,
        pairs=5,
    ),
    "four_rooms": Task(  # of two colours, as published with the paper; maps differ, so that it takes many
        *("four_rooms.py:7x7", "four_rooms.py", ("--episodes=6000", "--random_episodes=3000")),
        (
            "--config_env.eval.interval=50000",
            "--config_seq.kwargs.out_dim=64",
            "--config_seq.image.cnn.channels=(8,)",
            "--config_seq.image.cnn.kernels=(1,)",
            "--config_seq.image.cnn.strides=(1,)",
            "--config_rl.head_dims=(128,64)",
            "--config_rl.discount=0.95",
            "--config_rl.exploration.steps=300000",
            "--config_rl.replay_steps=400000",
            "--updates_per_step=0.007",
            "--num_envs=64",
            "--train_episodes=10000",
        ),
        ("--config_env.kwargs.palette=('blue','yellow')",),
    ),
}
VARIANTS = tuple(TASKS)
METHODS = ("history", "ua", "ua_vr", "ba", "ba_vr", "mi")  # of the paper DQN, ADQN, -VR, -State, -State-VR; and mi


def get_config(variant: str = "heaven_hell_3") -> ConfigDict:
    task = TASKS[variant]
    env = (f"--config_env=configs/envs/{task.env}", *task.domain)
    config = ConfigDict()
    config.name = f"asymmetric_dqn_{variant}"
    config.axes = ConfigDict({"method": {m: (f"--config_rl=configs/rl/dqn.py:{m}",) for m in METHODS}})
    config.axes.method.mi += ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
    config.axes.seed = tuple(range(task.seeds))
    over, seeded = (("seed",), ("--seed={seed}",)) if task.own_encoders else ((), ())
    flags = (*env, "--film_episodes=0", *LEARNER, *task.train)
    runs = {"train": {"script": "main.py", "over": ("method", "seed"), "flags": (*flags, "--seed={seed}")}}
    if task.pairs:
        config.axes.data, config.axes.policy = tuple(range(task.pairs)), tuple(range(task.seeds // task.pairs))
        over, seeded = ("data",), ("--seed={data}",)
        flags += (*config.axes.method.mi, "--seed={data}{policy}")
        runs["mi"] = {"script": "main.py", "over": ("data", "policy"), "flags": flags}
        del config.axes.method["mi"]
    config.stages = ConfigDict(
        {
            "collect": {"script": "main_collect_data.py", "over": over, "flags": (*env, *task.collect, *seeded)},
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": over,
                "flags": (*env, f"--config_repr=configs/repr/{task.repr}", "--data_path={collect}", *seeded),
            },
            **runs,
        }
    )
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 6})
    return config.lock()
