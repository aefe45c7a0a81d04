"""No memory: the embeddings of the step itself."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("markov", out_dim=128, hidden_dims=())
