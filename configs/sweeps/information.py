"""What memories hold of the belief on Tiger and Heaven-Hell-1, and what mi is paid: docs/results/information.md.

The settings are those of configs/sweeps/tiger.py. Runs of several lengths are one run as it was after so many episodes.
"""

from ml_collections import ConfigDict

from configs.sweeps import tiger

LOOKS = {"tiger": "--gauge_interval=1500", "heaven_hell_1": "--gauge_interval=3000"}


def get_config() -> ConfigDict:
    config = tiger.get_config().unlock()
    config.name = "information"
    for env, look in LOOKS.items():
        config.axes.env[env].train = (*config.axes.env[env].train, "--gauge=belief", look)
    config.axes.method = {name: config.axes.method[name] for name in ("history", "mi")}
    config.axes.length = {str(n): {"train": (f"--train_episodes={n}",)} for n in (300, 600, 900, 1200)}
    config.stages.train.over = ("env", "method", "length", "seed")
    return config.lock()
