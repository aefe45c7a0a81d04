"""No memory: a per-step MLP of width 128 in its place."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("mlp", out_dim=128, hidden_dims=(128, 128))
