"""Car-Flag on a line by seven forces: read the sign, then drive to the flag that it names."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    return domain("CarFlag-7-v0", horizon=160, interval=10_000).lock()
