"""The Believer (Wang et al., ICML 2023) where views are maps; sizes near those published with Nguyen et al., 2024."""

from ml_collections import ConfigDict

from configs.repr import believer_vector


def get_config(memory: str = "gpt") -> ConfigDict:
    """That of vectors, with convolutions."""
    config = believer_vector.get_config(memory)
    windows = {"hidden_dims": (), "kernels": (2, 2), "strides": (1, 1), "pools": (1, 1)}
    config.encoder.update(windows | {"channels": (32, 64)})
    config.belief.encoder.update(windows | {"channels": (8, 16)})
    return config
