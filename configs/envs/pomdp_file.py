"""The domain of a file in Cassandra's format: --config_env=configs/envs/pomdp_file.py --config_env.kwargs.path=FILE."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    # continuing: rows `reset` start anew, else they end the episode; first_observation: the action whose O draws an
    # observation before the first action, "" for none; one_hot: else views are numbers
    kwargs = {"path": "", "continuing": False, "first_observation": "", "one_hot": True}
    return domain("PomdpFile-v0", horizon=100, interval=5000, kwargs=kwargs).lock()
