"""MemoryFourRooms: embeddings of 7×7 maps; weights as for Sphinx, whose views are maps as well."""

from ml_collections import ConfigDict

from configs.repr._shared import disentangled


def get_config() -> ConfigDict:
    # 7 -> 5 -> 3
    config = disentangled(128, channels=(32, 64), kernels=(3, 3), strides=(1, 1), pools=(1, 1))
    config.num_epochs = 30
    config.reward_weight = 10.0
    config.state_dynamics_weight = 0.5
    config.obs_dynamics_weight = 0.03
    config.overlap_weight = 0.3
    config.obs_info_weight = 0.5
    return config.lock()
