"""The fields of a memory's config, once; widths are those of the published code (Nguyen et al., CoRL 2024)."""

from typing import Any

from ml_collections import ConfigDict


def memory(name: str, **kwargs: Any) -> ConfigDict:
    """The settings of a memory, locked; `kwargs` are those of its constructor."""
    config = ConfigDict()
    config.memory = name  # one of torchkit/sequence
    config.kwargs = ConfigDict(kwargs)  # widths, numbers of layers and heads, the share that dropout drops
    config.warmup = 0  # steps of a warm-up before training, for gru, lstm, brc, nbrc and mgu; 100 in the paper
    config.double = False  # layers of two halves, of which a warm-up leaves the second alone

    # widths of the embeddings of a vector and of an image, and of actions and rewards beside it; 0 for no reward.
    # shared: heads read the memory's embedding of the observation, in place of one of their own
    config.vector = ConfigDict({"obs_dim": 64, "action_dim": 64, "reward_dim": 0, "shared": False})
    config.image = ConfigDict({"obs_dim": 100, "action_dim": 16, "reward_dim": 0, "shared": False})
    # convolutions: how many, and pixels a side
    config.image.cnn = ConfigDict({"channels": (8, 16), "kernels": (2, 2), "strides": (1, 1)})
    # before them: `shrink` pixels a side become one, their mean, or in the channels `largest` the greatest; from the
    # channels `median` the frame's median is taken off, to be a channel of its own after them; of each channel
    # (x - centre) / spread is read, () for x, and kept within `clip`, (least, most)
    config.image.cnn.update({"shrink": 1, "largest": (), "median": (), "centre": (), "spread": (), "clip": ()})
    config.image.cnn.norm = False  # LayerNorm and ReLU after the linear layer that ends them
    config.state_dim = 32  # width of the learned state embedding, for asymmetric critics
    return config.lock()
