"""Any domain whose views are vectors: the published weights of CarFlag-2D, to start from and to be tuned."""

from ml_collections import ConfigDict

from configs.repr._shared import disentangled


def get_config() -> ConfigDict:
    config = disentangled(128)
    config.num_epochs = 60
    config.club_lr = 5e-3  # faster than the encoders, which else hide from CLUB
    config.overlap_weight = 10.0  # at 1.0, z_state told the place of CarFlag's car
    return config.lock()
