"""Tiger and Heaven-Hell-1, three seeds of rows of DQN: …/tiger.py:VARIANT.

Each seed has data and encoders of its own. `main`, the default, is the seven rows of the papers' comparison, on two
cores ten to fifteen minutes; `every` is each row that there is, in some forty.

`python scripts/report.py logs/tiger/train --out=report` and pages of `scripts/results.py` then measure returns by
certified bounds of both optima.
"""

from ml_collections import ConfigDict

from configs.rl import dqn
from configs.sweeps.grid_domains import BELIEVER, VECTOR

VARIANTS = {"main": ("history", "ua", "ua_vr", "ba", "ba_vr", "zp", "mi"), "every": tuple(dqn.VARIANTS)}
LEARNER = (
    "--config_seq.kwargs.out_dim=64",
    "--config_rl.head_dims=(64,64)",
    "--config_rl.lr=1e-3",
)
EMBEDDERS = ("--state_embedder_dir={pretrain}", "--obs_embedder_dir={pretrain}")
MORE = {  # of rows that need it
    **dict.fromkeys(("mi", "mi_cv", "zero_on", "zero_off"), EMBEDDERS),
    "believer": BELIEVER,  # which has a stage 2 of its own
    "elf": ("--config_rl.teacher=informed",),  # who sees the state; the file of Tiger has no other expert
}
TIGER = (
    "--config_env=configs/envs/pomdp_file.py",
    "--config_env.kwargs.path=configs/envs/tiger.pomdp",
    "--config_env.horizon=10",
    "--config_env.eval.interval=2000",
)
HEAVEN_HELL = (
    "--config_env=configs/envs/heaven_hell_n.py:1",
    "--config_env.horizon=20",
    "--config_env.eval.interval=3000",
)


def get_config(variant: str = "main") -> ConfigDict:
    config = ConfigDict()
    config.name = "tiger"
    config.axes = ConfigDict(
        {
            "env": {
                "tiger": {
                    "collect": TIGER,
                    "pretrain": (*TIGER, "--num_epochs=20"),
                    "train": (
                        *TIGER,
                        "--train_episodes=1200",
                        "--config_rl.discount=0.95",
                        "--config_rl.exploration.steps=10000",
                        "--config_rl.normalise=('reward',)",  # an error costs ten times what is to be won
                    ),
                },
                "heaven_hell_1": {
                    "collect": HEAVEN_HELL,
                    "pretrain": (*HEAVEN_HELL, "--num_epochs=200"),  # episodes of a random policy are short here
                    "train": (
                        *HEAVEN_HELL,
                        "--train_episodes=1200",
                        "--start_training=200",
                        "--updates_per_step=0.15",
                        "--config_rl.discount=0.9",
                        "--config_rl.cut_traces=False",
                        "--config_rl.exploration.steps=20000",
                    ),
                },
            },
            "method": {row: (f"--config_rl=configs/rl/dqn.py:{row}", *MORE.get(row, ())) for row in VARIANTS[variant]},
            "seed": (0, 1, 2),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env", "seed"),
                "flags": ("--episodes=1000", "--random_episodes=1000", "--seed={seed}"),
            },
            "pretrain": {
                "script": "main_pretrain_representations.py",
                "over": ("env", "seed"),
                "flags": ("--config_repr=configs/repr/heaven_hell.py", "--data_path={collect}", "--seed={seed}"),
            },
            "train": {
                "script": "main.py",
                "over": ("env", "method", "seed"),
                "flags": ("--seed={seed}", "--film_episodes=0", *LEARNER),
            },
        }
    )
    if "believer" in VARIANTS[variant]:
        config.stages.pretrain_believer = ConfigDict(
            {
                "script": "main_pretrain_representations.py",
                "over": ("env", "seed"),
                "flags": ("--data_path={collect}", "--seed={seed}", *VECTOR, "--num_epochs=20"),
            }
        )
        config.axes.env.tiger.pretrain_believer, config.axes.env.heaven_hell_1.pretrain_believer = TIGER, HEAVEN_HELL
    config.slurm = ConfigDict({"hours": 0.5, "memory_gb": 2.0, "runs_per_job": 4})
    return config.lock()
