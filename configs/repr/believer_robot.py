"""The Believer (Wang et al., ICML 2023) of the robot domains' 84x84 images, with their convolutions; not tuned."""

from ml_collections import ConfigDict

from configs.repr import believer_vector


def get_config(memory: str = "gpt") -> ConfigDict:
    """That of vectors, with convolutions."""
    config = believer_vector.get_config(memory)
    for encoder in (config.encoder, config.belief.encoder):
        encoder.update(
            {
                "hidden_dims": (),
                "channels": (32, 64, 64),
                "kernels": (8, 4, 3),
                "strides": (4, 4, 1),
                "pools": (1, 1, 1),
            }
        )
    return config
