"""Is a signal worth giving to a critic? Asked before training, of random episodes, and after it, of five seeds by each.

`python scripts/results.py logs/signals --computed=signal_worth --page=…` holds both against each other. A2C learns
CartPole, whose velocities are hidden, and the T-Maze within these steps; of Heaven-Hell-1, -3 and Car-Flag a run each
of 200,000 steps, given the fact, learned nothing.
"""

from ml_collections import ConfigDict

LOOKS = "--config_env.eval.episodes=20"
CARTPOLE = ("--config_env=configs/envs/cartpole_hidden.py", "--config_env.eval.interval=1000", LOOKS)
T_MAZE = ("--config_env=configs/envs/t_maze.py:10", "--config_env.eval.interval=4000", LOOKS)
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
    "cartpole_sac": (*CARTPOLE, "--config_rl=configs/rl/sac.py:history", "--train_episodes=50"),
    "t_maze_a2c": (*T_MAZE, "--config_rl=configs/rl/a2c.py:history", "--train_episodes=4000"),
}
SIGNALS = {"cartpole": (("1",), ("3",), ("1", "3"), ("0",)), "t_maze": (("treasure",), ("place",))}


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
            "env": {"cartpole": CARTPOLE, "t_maze": T_MAZE},
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
