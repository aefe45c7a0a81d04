"""MemoryFourRooms: embeddings of 7×7 maps; weights as for Sphinx, whose views are maps as well."""

from ml_collections import ConfigDict

from configs.repr._shared import MAPS, disentangled


def get_config() -> ConfigDict:
    # 7 -> 5 -> 3
    config = disentangled(128, channels=(32, 64), kernels=(3, 3), strides=(1, 1), pools=(1, 1))
    config.update(MAPS)
    return config.lock()
