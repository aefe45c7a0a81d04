"""One layer of minimal gated units of width 128."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("mgu", out_dim=128, layers=1)
