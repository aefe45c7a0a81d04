"""A block of linear recurrent units and one of bistable units, of width 128, evaluated in parallel."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("hybrid", out_dim=128, layers=2, r_min=0.9, r_max=0.999, threshold=1.0)
