"""The last four steps side by side, of which an MLP makes 128 numbers: no memory beyond."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("frame_stack", out_dim=128, frames=4, hidden_dims=(128,))
