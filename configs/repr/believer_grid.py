"""The Believer (Wang et al., ICML 2023) where views are maps; sizes near those published with Nguyen et al., 2024."""

from ml_collections import ConfigDict

from configs.repr._shared import MEMORIES, believer, encoder

VARIANTS = MEMORIES


def get_config(memory: str = "gpt") -> ConfigDict:
    layers = {"kernels": (2, 2), "strides": (1, 1), "pools": (1, 1)}
    return believer(memory, encoder(channels=(32, 64), **layers), encoder(channels=(8, 16), **layers))
