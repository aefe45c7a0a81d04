"""HeavenHell on the 6x9 grid."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    return domain("HeavenHell-6x9-v0", horizon=50, interval=2000, rl={"dqn": {"discount": 0.95}}).lock()
