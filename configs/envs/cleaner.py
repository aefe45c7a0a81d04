"""Cleaner: two agents who are steered together clean a maze of which they see the cells around them."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    return domain("Cleaner-v0", horizon=200, interval=20_000).lock()
