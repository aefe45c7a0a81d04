"""Sphinx: embeddings of 6x6 maps; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict

from configs.repr._shared import disentangled


def get_config() -> ConfigDict:
    # 6 -> 5 -> 2 -> 1
    layers = {"channels": (64, 128, 256), "kernels": (2, 2, 2), "strides": (1, 1, 1), "pools": (1, 2, 1)}
    config = disentangled(256, **layers)
    config.num_epochs = 30  # published: 1000; the probes have settled by then
    config.reward_weight = 10.0
    config.state_dynamics_weight = 0.5
    config.obs_dynamics_weight = 0.03
    config.overlap_weight = 0.3
    config.obs_info_weight = 0.5
    return config.lock()
