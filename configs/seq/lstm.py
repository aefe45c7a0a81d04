"""A one-layer LSTM of width 128."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.memory = "lstm"
    config.kwargs = ConfigDict({"out_dim": 128, "layers": 1})

    config.vector = ConfigDict({"obs_dim": 64, "action_dim": 64, "reward_dim": 0})  # widths of the embeddings
    config.image = ConfigDict({"obs_dim": 100, "action_dim": 16, "reward_dim": 0})
    config.image.cnn = ConfigDict({"channels": (8, 16), "kernels": (2, 2), "strides": (1, 1)})
    config.image.cnn.update({"centre": (), "spread": ()})  # of each channel: (x - centre) / spread is read; () for x
    config.state_dim = 32  # width of the learned state embedding, for asymmetric critics
    return config.lock()
