"""Sphinx: embeddings of 6x6 maps; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict

from configs.repr._shared import MAPS, disentangled


def get_config() -> ConfigDict:
    # 6 -> 5 -> 2 -> 1
    layers = {"channels": (64, 128, 256), "kernels": (2, 2, 2), "strides": (1, 1, 1), "pools": (1, 2, 1)}
    config = disentangled(256, **layers)
    config.update(MAPS)
    return config.lock()
