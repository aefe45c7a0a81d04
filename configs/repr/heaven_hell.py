"""HeavenHell: embeddings of a vector; sizes and weights as published (Nguyen et al., CoRL 2024)."""

from ml_collections import ConfigDict

from configs.repr._shared import disentangled


def get_config() -> ConfigDict:
    config = disentangled(128)
    config.num_epochs = 40  # published: 1000; the probes have settled by then
    config.lr = 3e-3
    config.club_lr = 3e-3  # published: 3e-4, from which the encoders hide, or not, by their rounding
    config.reward_weight = 10.0
    config.obs_dynamics_weight = 0.5
    config.overlap_weight = 1.0
    return config.lock()
