"""The Believer (Wang et al., ICML 2023) of the robot domains' 84x84 images, with their convolutions; not tuned."""

from ml_collections import ConfigDict

from configs.repr._shared import MEMORIES, believer, encoder

VARIANTS = MEMORIES


def get_config(memory: str = "gpt") -> ConfigDict:
    layers = encoder(channels=(32, 64, 64), kernels=(8, 4, 3), strides=(4, 4, 1), pools=(1, 1, 1))
    return believer(memory, layers, layers)
