"""Is a signal worth giving to a critic? Asked before training, of random episodes, and after it, of five seeds by each.

`python scripts/results.py logs/signals --computed=signal_worth --page=…` holds both against each other. From
demonstrations SAC learns Car-Flag on a line, and Heaven-Hell-3 with one to three of five seeds; A2C learns CartPole,
whose velocities are hidden. By its policy's gradient alone it learned nothing of Heaven-Hell-3 in 1,000,000 steps of
one run, given the side, and of the T-Maze the returns of a guess. Learners that are `told` have a policy whose memory
learns to predict the state; a critic's signal is another matter, and is seen by the critic alone.
"""

from ml_collections import ConfigDict

LOOKS = "--config_env.eval.episodes=20"
CARTPOLE = ("--config_env=configs/envs/cartpole_hidden.py", LOOKS)
T_MAZE = ("--config_env=configs/envs/t_maze.py:10", "--config_env.eval.interval=4000", LOOKS)
HEAVEN_HELL = ("--config_env=configs/envs/heaven_hell_n.py:3", "--config_env.eval.interval=2000", LOOKS)
CAR_FLAG = ("--config_env=configs/envs/car_flag_1d.py", "--config_env.eval.interval=3000", LOOKS)
ENVS = {
    "cartpole": CARTPOLE,
    "t_maze": T_MAZE,
    "heaven_hell": HEAVEN_HELL,
    "car_flag": {"collect": CAR_FLAG, "signals": (*CAR_FLAG, "--episodes=60")},  # of 150 steps each
}
SMALL = (
    "--config_seq=configs/seq/gru.py",
    "--config_seq.kwargs.out_dim=32",
    "--config_seq.vector.obs_dim=16",
    "--config_seq.vector.action_dim=16",
    "--config_rl.head_dims=(64,64)",
    "--batch_size=16",
)
SAC = ("--config_rl=configs/rl/sac.py:history", *SMALL, "--config_rl.tau=0.02")
TOLD = (  # the policy's memory learns to tell the state as well: of rare rewards alone it learns nothing for long
    "--config_rl=configs/rl/a2c.py:history",
    *SMALL,
    "--config_rl.auxiliary.use_actor=('state_prediction',)",
    "--config_rl.z_state=raw",
    "--config_rl.actor_lr=0.002",
    "--config_rl.critic_lr=0.002",
    "--config_rl.return_lambda=0.95",
    "--config_rl.entropy.start=0.03",
    "--config_rl.entropy.end=0.02",
    "--config_rl.entropy.steps=500000",
    "--num_envs=32",
)
SHOWN = (  # with demonstrations
    *SAC,
    "--config_rl.actor_lr=0.0005",
    "--config_rl.critic_lr=0.002",
    "--config_rl.return_lambda=0.9",
    "--start_expert_training=64",
)
LEARNERS = {
    "cartpole_a2c": (
        *CARTPOLE,
        "--config_env.eval.interval=4000",
        "--config_rl=configs/rl/a2c.py:history",
        "--config_rl.actor_lr=0.001",
        "--config_rl.entropy.start=0.0",
        "--config_rl.entropy.end=0.0",
        "--batch_size=8",
        "--train_episodes=1000",
    ),
    "cartpole_sac": (
        *CARTPOLE,
        "--config_env.eval.interval=1000",
        *SAC,
        "--config_rl.actor_lr=0.001",
        "--config_rl.critic_lr=0.001",
        "--updates_per_step=0.25",
        "--train_episodes=50",
    ),
    "t_maze_a2c": (*T_MAZE, "--config_rl=configs/rl/a2c.py:history", "--train_episodes=4000"),
    "t_maze_told": (*T_MAZE, *TOLD, "--config_rl.discount=0.98", "--train_episodes=4000"),
    "heaven_hell_told": (
        *HEAVEN_HELL,
        "--config_env.eval.interval=20000",
        *TOLD,
        "--config_rl.discount=0.97",
        "--train_episodes=7000",
    ),
    "car_flag_told": (
        *CAR_FLAG,
        "--config_env.eval.interval=20000",
        *TOLD,
        "--config_rl.entropy.start=0.01",
        "--config_rl.entropy.end=0.005",
        "--config_rl.discount=0.98",
        "--train_episodes=2800",
    ),
    # paid at the end alone: to stay alive is worth temperature × entropy / (1 - discount), which must be less
    "heaven_hell_sac": (
        *HEAVEN_HELL,
        *SHOWN,
        "--config_rl.discount=0.95",
        "--config_rl.temperature.initial=0.01",
        "--config_rl.temperature.lr=0.0005",
        "--config_rl.temperature.target_share=0.3",
        "--updates_per_step=0.1",
        "--train_episodes=300",
    ),
    "car_flag_sac": (
        *CAR_FLAG,
        *SHOWN,
        "--config_rl.discount=0.98",
        "--config_rl.temperature.initial=0.002",
        "--updates_per_step=0.05",
        "--train_episodes=200",
    ),
}
SIGNALS = {
    "cartpole": (("1",), ("3",), ("1", "3"), ("0",)),
    "t_maze": (("treasure",), ("place",)),
    "heaven_hell": (("heaven",), ("cell",)),
    "car_flag": (("flag",), ("velocity",), ("position",)),
}


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = "signals"
    given = {"none": (), "state": ("--config_rl.critic_inputs=('history','observation','state')",)}
    for signal in (signal for signals in SIGNALS.values() for signal in signals):
        given["_".join(signal)] = (
            "--config_rl.critic_inputs=('history','observation','signal')",
            f"--config_rl.critic.signal={signal!r}",
        )
    config.axes = ConfigDict(
        {
            "env": ENVS,
            "learner": LEARNERS,
            "signal": given,
            "seed": (0, 1, 2, 3, 4),
        }
    )
    config.stages = ConfigDict(
        {
            "collect": {
                "script": "main_collect_data.py",
                "over": ("env",),
                "flags": ("--episodes=250", "--random_episodes=250"),
            },
            "signals": {"script": "scripts/signals.py", "over": ("env",), "flags": ("--data_path={collect}",)},
            "train": {
                "script": "main.py",
                "over": ("learner", "signal", "seed"),
                "list": [
                    [learner, signal, "*"]
                    for learner in LEARNERS
                    for signal in ("none", "state", *map("_".join, SIGNALS[learner.rpartition("_")[0]]))
                ],
                "flags": ("--seed={seed}", "--film_episodes=0"),
            },
        }
    )
    config.slurm = ConfigDict({"hours": 0.5, "memory_gb": 2.0, "runs_per_job": 8})
    return config.lock()
