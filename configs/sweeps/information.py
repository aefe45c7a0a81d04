"""What memories hold of the belief, and what mi is paid: docs/results/information.md and, of a variant, beside it.

Without a variant Tiger and Heaven-Hell-1 by the settings of configs/sweeps/tiger.py; runs of several lengths are one
run as it was after so many episodes. With `:methods` HeavenHell, Sphinx and Tiger, five seeds of six rows of DQN. With
`:t_maze` the memories of configs/sweeps/memories.py:t_maze, by its settings, some of them behind two variables that
mean nothing, and some where every fifth action is drawn. With `:hikes` memories on Mountain Hike and the varying one,
whose beliefs are told by particles.
"""

from ml_collections import ConfigDict

from configs.sweeps import grid_domains, memories, sure, tiger

NOISY = (*memories.TEN_STEPS, "--config_env.kwargs.noise=0.2", "--config_env.horizon=38")
LOOKS = {"tiger": "--gauge_interval=1500", "heaven_hell_1": "--gauge_interval=3000"}
METHODS = ("history", "mi", "ua", "ba", "zp", "believer")
HIKES = {
    "fixed": (
        "--config_env=configs/envs/mountain_hike.py",
        "--config_env.eval.interval=4000",
        "--config_rl.lr=0.003",
        "--config_rl.return_lambda=0.8",
        "--config_rl.exploration.steps=8000",
        "--updates_per_step=0.3",
        "--train_episodes=300",
        "--gauge_interval=6000",
    ),
    "varying": (
        "--config_env=configs/envs/mountain_hike.py:varying",
        "--config_env.eval.interval=16000",
        "--config_rl.lr=0.002",
        "--config_rl.return_lambda=0.9",
        "--config_rl.exploration.steps=40000",
        "--updates_per_step=0.05",
        "--train_episodes=1250",
        "--gauge_interval=50000",
    ),
}
HIKERS = ("gru", "lstm", "gpt", "mgu", "brc", "nbrc", "mingru", "lru")
VARIANTS: dict[str, object] = {"finite": LOOKS, "methods": METHODS, "t_maze": memories.NARROW, "hikes": HIKES}
IRRELEVANT = (
    "--config_env=configs/envs/irrelevant.py:t_maze",
    "--config_env.kwargs.variables=2",
    "--config_env.kwargs.of.length=10",
    "--config_env.kwargs.of.noise=0.0",
    "--config_env.horizon=30",
    "--config_env.eval.interval=1000",
)


def get_config(variant: str = "finite") -> ConfigDict:
    return {"finite": finite, "methods": methods, "t_maze": t_maze, "hikes": hikes}[variant]()


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
    config.axes.env = ConfigDict({"plain": memories.TEN_STEPS, "irrelevant": IRRELEVANT, "noisy": NOISY})
    config.stages.train.over = ("env", "seed", "memory")
    config.stages.train.list = (
        ["plain", "*", "*"],
        *([env, "*", memory] for env in ("irrelevant", "noisy") for memory in ("gru", "gru_warmed", "nbrc")),
    )
    config.stages.train.flags = (*flags, "--gauge=belief", "--gauge_interval=1000")
    return config.lock()


def hikes() -> ConfigDict:
    config = memories.get_config("t_maze").unlock()
    config.name = "information_hikes"
    config.axes.env = ConfigDict(HIKES)
    config.axes.memory = {memory: config.axes.memory[memory] for memory in HIKERS}
    config.stages.train.over = ("env", "seed", "memory")
    config.stages.train.flags = (*memories.SMALL, "--gauge=belief")
    config.slurm.hours = 2.0
    return config.lock()
