"""Heaven-Hell-n: ask the priest, then go to heaven, through corridors of n cells. --config_env=…/heaven_hell_n.py:n."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = ("1", "2", "3", "4")


def get_config(n: str = "3") -> ConfigDict:
    kwargs = {"one_hot": True}  # else views are numbers
    return domain(f"HeavenHell-{n}-v0", horizon=100, interval=10_000, kwargs=kwargs).lock()
