"""A one-layer causal transformer with two heads; its width is that of the embeddings together."""

from ml_collections import ConfigDict

from configs.seq._shared import memory


def get_config() -> ConfigDict:
    return memory("gpt", layers=1, heads=2, dropout=0.0)
