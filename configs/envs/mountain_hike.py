"""Mountain Hike: find the top by the altitude alone. --config_env=…/mountain_hike.py:varying turns the actions."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = {"fixed": ("MountainHike-v0", 80), "varying": ("VaryingMountainHike-v0", 160)}


def get_config(row: str = "fixed") -> ConfigDict:
    name, horizon = VARIANTS[row]
    return domain(name, horizon=horizon, interval=10_000).lock()
