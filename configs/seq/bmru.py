"""A block of bistable units of width 128, evaluated in parallel."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("bmru", out_dim=128, layers=1, threshold=1.0)
