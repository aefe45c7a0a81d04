"""The imitation gap: students of an expert that asks and of a teacher that knows; --config_sweep=…/distill.py:DOMAIN.

`clone` and `dagger` of either teacher and ELF of the second, five seeds each; no data set, since the teacher is at
hand. By DOMAIN `heaven_hell`, where `elf` is as long as `mi` was for docs/results/heaven_hell.md, or `heaven_hell_1`.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

TEACHERS = ("expert", "informed")


class Domain(NamedTuple):
    """Flags of the domain, and of each row."""

    env: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


VARIANTS = {
    "heaven_hell": Domain(
        ("--config_env=configs/envs/heaven_hell.py",),
        {"clone": ("--train_episodes=400",), "dagger": ("--train_episodes=400",), "elf": ("--train_episodes=1200",)},
    ),
    "heaven_hell_1": Domain(
        (
            "--config_env=configs/envs/heaven_hell_n.py:1",
            "--config_env.horizon=20",
            "--config_env.eval.interval=1000",
            "--config_seq.kwargs.out_dim=32",
            "--config_rl.head_dims=(32,)",
            "--config_rl.auxiliary.state_prediction.hidden_dims=(32,)",
            "--config_rl.lr=3e-3",
            "--updates_per_step=0.25",
        ),
        {
            "clone": ("--train_episodes=200",),
            "dagger": ("--train_episodes=200", "--config_rl.beta.steps=2000"),
            "elf": (
                "--train_episodes=500",
                "--config_rl.discount=0.9",
                "--config_rl.cut_traces=False",
                "--config_rl.exploration.steps=6000",
            ),
        },
    ),
}


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    domain = VARIANTS[variant]
    methods = {
        f"{row}_{teacher}": (f"--config_rl=configs/rl/distill.py:{row}", f"--config_rl.teacher={teacher}", *flags)
        for row, flags in domain.rows.items()
        for teacher in TEACHERS
        if (row, teacher) != ("elf", "expert")
    }
    config = ConfigDict()
    config.name = f"distill_{variant}"
    config.axes = ConfigDict({"method": methods, "seed": (0, 1, 2, 3, 4)})
    train = {
        "script": "main.py",
        "over": ("method", "seed"),
        "flags": (*domain.env, "--seed={seed}", "--film_episodes=0"),
    }
    config.stages = ConfigDict({"train": train})
    config.slurm = ConfigDict({"hours": 1.0, "memory_gb": 2.0, "runs_per_job": 5})
    return config.lock()
