"""How sure `mi` is: five data sets with encoders of their own, times four policies; --config_sweep=…/sure.py:DOMAIN.

Data sets 0 to 2 by DOMAIN, 3 and 4 by DOMAIN_avx2, to be called with MKL_ENABLE_INSTRUCTIONS=AVX2 and
ONEDNN_MAX_CPU_ISA=AVX2 set, so that products round as on another processor. Beside them `history`, `ua` and `ba`,
which need no encoders, eight seeds each, by DOMAIN_others.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Domain(NamedTuple):
    """Its configs by name, the family, flags of stage 1, and those of stage 3 by what the replay begins with."""

    env: str
    repr: str
    rl: str
    collect: tuple[str, ...]
    train: dict[str, tuple[str, ...]]


RANDOM, HALF = ("--random_episodes=3000",), ("--random_episodes=1500",)
DOMAINS = {
    "heaven_hell": Domain(
        *("heaven_hell", "heaven_hell", "dqn", RANDOM),
        {"alone": ("--train_episodes=1200",), "shown": ("--train_episodes=800", "--start_expert_training=64")},
    ),
    "sphinx": Domain("sphinx", "sphinx", "dqn", RANDOM, {"alone": ("--train_episodes=1800",)}),
    "car_flag_2d": Domain(
        *("car_flag_2d", "car_flag_2d", "dqn", HALF),
        {"shown": ("--train_episodes=5000", "--start_expert_training=200")},
    ),
    "car_flag_2d_continuous": Domain(
        *("car_flag_2d_continuous", "vector", "sac", HALF),
        {"shown": ("--train_episodes=1000", "--start_expert_training=200")},
    ),
}
VARIANTS = {f"{domain}{of}": domain for domain in DOMAINS for of in ("", "_avx2", "_others")}


def get_config(variant: str = "heaven_hell") -> ConfigDict:
    domain = DOMAINS[VARIANTS[variant]]
    env = f"--config_env=configs/envs/{domain.env}.py"
    others = variant.endswith("_others")
    config = ConfigDict()
    config.name = f"sure_{variant}"
    config.axes = ConfigDict({"start": {label: {"train": flags} for label, flags in domain.train.items()}})
    if others:
        config.axes.method = {m: (f"--config_rl=configs/rl/{domain.rl}.py:{m}",) for m in ("history", "ua", "ba")}
        config.axes.seed = (0, 1, 2, 3, 4, 5, 6, 7)
    else:
        config.axes.data = (3, 4) if variant.endswith("_avx2") else (0, 1, 2)
        config.axes.seed = (0, 1, 2, 3)
    collect = {
        "script": "main_collect_data.py",
        "over": ("data",),
        "flags": (env, "--episodes=3000", "--seed={data}", *domain.collect),
    }
    pretrain = {
        "script": "main_pretrain_representations.py",
        "over": ("data",),
        "flags": (env, f"--config_repr=configs/repr/{domain.repr}.py", "--data_path={collect}", "--seed={data}"),
    }
    method = (
        f"--config_rl=configs/rl/{domain.rl}.py:mi",
        "--state_embedder_dir={pretrain}",
        "--obs_embedder_dir={pretrain}",
        "--seed={data}{seed}",
    )
    train = {
        "script": "main.py",
        "over": ("method", "start", "seed") if others else ("data", "start", "seed"),
        "flags": (env, *(("--seed={seed}",) if others else method)),
    }
    config.stages = ConfigDict(
        {"train": train} if others else {"collect": collect, "pretrain": pretrain, "train": train}
    )
    config.slurm = ConfigDict({"hours": 6.0, "memory_gb": 3.0, "runs_per_job": 4})
    return config.lock()
