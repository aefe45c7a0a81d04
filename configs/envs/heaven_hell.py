"""HeavenHell on the 5x7 grid: ask the priest, then go to heaven."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    return domain("HeavenHell-v0", horizon=50, interval=2000, rl={"dqn": {"discount": 0.93}}).lock()
