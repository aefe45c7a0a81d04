"""Shopping-n: pay to be told where the item lies in n×n cells, and remember it. --config_env=…/shopping.py:n."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = ("5", "6")


def get_config(n: str = "5") -> ConfigDict:
    kwargs = {"one_hot": True}  # else views are numbers
    return domain(f"Shopping-{n}-v0", horizon=100, interval=10_000, kwargs=kwargs).lock()
