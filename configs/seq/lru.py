"""A block of linear recurrent units of width 128, evaluated in parallel."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("lru", out_dim=128, layers=1, r_min=0.9, r_max=0.999)
