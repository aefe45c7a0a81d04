"""A domain with variables that mean nothing before its views. --config_env=…/irrelevant.py:ROW, the domain."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = {
    # the domain, its own arguments, the horizon and the discount
    "t_maze": ("TMaze-v0", {"length": 50, "noise": 0.2}, 188, 0.98),
    "mountain_hike": ("MountainHike-v0", {"varying": False}, 80, 0.99),
    "varying_mountain_hike": ("VaryingMountainHike-v0", {"varying": True}, 160, 0.99),
}


def get_config(row: str = "t_maze") -> ConfigDict:
    name, of, horizon, discount = VARIANTS[row]
    kwargs = {"domain": name, "variables": 1, "of": of}
    rl = {"dqn": {"discount": discount}}
    return domain("Irrelevant-v0", horizon=horizon, interval=10_000, kwargs=kwargs, rl=rl).lock()
