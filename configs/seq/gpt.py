"""A one-layer causal transformer with two heads; its width is that of the embeddings together."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.memory = "gpt"
    config.kwargs = ConfigDict({"layers": 1, "heads": 2, "dropout": 0.0})

    config.vector = ConfigDict({"obs_dim": 64, "action_dim": 64, "reward_dim": 0})  # widths of the embeddings
    config.image = ConfigDict({"obs_dim": 100, "action_dim": 16, "reward_dim": 0})
    config.image.cnn = ConfigDict({"channels": (8, 16), "kernels": (2, 2), "strides": (1, 1)})
    config.image.cnn.update({"centre": (), "spread": ()})  # of each channel: (x - centre) / spread is read; () for x
    config.state_dim = 32  # width of the learned state embedding, for asymmetric critics
    return config.lock()
