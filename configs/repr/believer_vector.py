"""The Believer (Wang et al., ICML 2023) where views are vectors; sizes as published with Nguyen et al., CoRL 2024."""

from ml_collections import ConfigDict

from configs.repr._shared import MEMORIES, believer, encoder

VARIANTS = MEMORIES


def get_config(memory: str = "gpt") -> ConfigDict:
    return believer(memory, encoder((128, 128)), encoder())
