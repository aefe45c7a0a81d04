"""Car-Flag on a line, by forces: read which flag is the right one on the way, and turn if need be."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    return domain("CarFlag-1D-v0", horizon=160, interval=5000).lock()
