"""What memories hold of the belief, and what mi is paid: docs/results/information.md and, of a variant, beside it.

Without a variant Tiger and Heaven-Hell-1 by the settings of configs/sweeps/tiger.py; runs of several lengths are one
run as it was after so many episodes. With `:methods` HeavenHell, Sphinx and Tiger, five seeds of six rows of DQN. With
`:t_maze` the memories of configs/sweeps/memories.py:t_maze, by its settings, and some of them behind two variables that
mean nothing.
"""

from ml_collections import ConfigDict

from configs.sweeps import grid_domains, memories, sure, tiger

LOOKS = {"tiger": "--gauge_interval=1500", "heaven_hell_1": "--gauge_interval=3000"}
METHODS = ("history", "mi", "ua", "ba", "zp", "believer")
VARIANTS: dict[str, object] = {"finite": LOOKS, "methods": METHODS, "t_maze": memories.T_MAZE}
IRRELEVANT = (
    "--config_env=configs/envs/irrelevant.py:t_maze",
    "--config_env.kwargs.variables=2",
    "--config_env.kwargs.of.length=10",
    "--config_env.kwargs.of.noise=0.0",
    "--config_env.horizon=30",
    "--config_env.eval.interval=1000",
)


def get_config(variant: str = "finite") -> ConfigDict:
    return {"finite": finite, "methods": methods, "t_maze": t_maze}[variant]()


def finite() -> ConfigDict:
    config = tiger.get_config().unlock()
    config.name = "information"
    for env, look in LOOKS.items():
        config.axes.env[env].train = (*config.axes.env[env].train, "--gauge=belief", look)
    config.axes.method = {name: config.axes.method[name] for name in ("history", "mi")}
    config.axes.length = {str(n): {"train": (f"--train_episodes={n}",)} for n in (300, 600, 900, 1200)}
    config.stages.train.over = ("env", "method", "length", "seed")
    return config.lock()


def methods() -> ConfigDict:
    config = grid_domains.get_config().unlock()
    config.name = "information_methods"
    envs = {}
    for env, look in (("heaven_hell", "--gauge_interval=2000"), ("sphinx", "--gauge_interval=5000")):
        of = f"--config_env=configs/envs/{env}.py"
        envs[env] = {stage: (of, *flags) for stage, flags in config.axes.env[env].items()}
        envs[env]["collect"] = (*envs[env]["collect"], "--episodes=3000")
        envs[env]["train"] = (of, *sure.DOMAINS[env].train["alone"], look)
    small = tiger.get_config().axes.env.tiger
    envs["tiger"] = {
        "collect": (*small.collect, "--episodes=1000", "--random_episodes=1000"),
        "pretrain": (*small.pretrain, "--config_repr=configs/repr/heaven_hell.py"),
        "pretrain_believer": (*small.pretrain, *grid_domains.VECTOR),
        "train": (*small.train, *tiger.LEARNER, LOOKS["tiger"]),
    }
    config.axes.env = envs
    config.axes.method = {name: config.axes.method[name] for name in METHODS}
    config.stages.collect.flags = ()
    for stage in ("pretrain", "pretrain_believer"):
        config.stages[stage].flags = ("--data_path={collect}",)
    config.stages.train.flags = ("--seed={seed}", "--film_episodes=0", "--gauge=belief")
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
