"""What memories hold of the belief, and what mi is paid: docs/results/information.md.

Without a variant Tiger and Heaven-Hell-1 by the settings of configs/sweeps/tiger.py; runs of several lengths are one
run as it was after so many episodes. With `:t_maze` the memories of configs/sweeps/memories.py:t_maze, by its settings,
and some of them behind two variables that mean nothing.
"""

from ml_collections import ConfigDict

from configs.sweeps import memories, tiger

LOOKS = {"tiger": "--gauge_interval=1500", "heaven_hell_1": "--gauge_interval=3000"}
VARIANTS: dict[str, object] = {"finite": LOOKS, "t_maze": memories.T_MAZE}
IRRELEVANT = (
    "--config_env=configs/envs/irrelevant.py:t_maze",
    "--config_env.kwargs.variables=2",
    "--config_env.kwargs.of.length=10",
    "--config_env.kwargs.of.noise=0.0",
    "--config_env.horizon=30",
    "--config_env.eval.interval=1000",
)


def get_config(variant: str = "finite") -> ConfigDict:
    return t_maze() if variant == "t_maze" else finite()


def finite() -> ConfigDict:
    config = tiger.get_config().unlock()
    config.name = "information"
    for env, look in LOOKS.items():
        config.axes.env[env].train = (*config.axes.env[env].train, "--gauge=belief", look)
    config.axes.method = {name: config.axes.method[name] for name in ("history", "mi")}
    config.axes.length = {str(n): {"train": (f"--train_episodes={n}",)} for n in (300, 600, 900, 1200)}
    config.stages.train.over = ("env", "method", "length", "seed")
    return config.lock()


def t_maze() -> ConfigDict:
    config = memories.get_config("t_maze").unlock()
    config.name = "information_t_maze"
    flags = (flag for flag in config.stages.train.flags if flag not in memories.TEN_STEPS)
    config.axes.env = ConfigDict({"plain": {"train": memories.TEN_STEPS}, "irrelevant": {"train": IRRELEVANT}})
    config.stages.train.over = ("env", "seed", "memory")
    config.stages.train.list = (
        ["plain", "*", "*"],
        *(["irrelevant", "*", memory] for memory in ("gru", "gru_warmed", "nbrc")),
    )
    config.stages.train.flags = (*flags, "--gauge=belief", "--gauge_interval=1000")
    return config.lock()
