"""CarFlag-2D: embeddings of 11x11 maps; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict

from configs.repr._shared import disentangled


def get_config() -> ConfigDict:
    # 11 -> 5 -> 2 -> 1
    layers = {"channels": (64, 128, 256), "kernels": (2, 2, 2), "strides": (1, 1, 1), "pools": (2, 2, 1)}
    config = disentangled(256, **layers)
    config.num_epochs = 12  # published: 1000; slow on a CPU, and the probes have nearly settled by then
    return config.lock()
