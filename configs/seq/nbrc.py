"""One layer of neuromodulated bistable recurrent cells of width 128."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("nbrc", out_dim=128, layers=1)
