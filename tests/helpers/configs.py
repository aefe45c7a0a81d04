"""Configs by name."""

from importlib import import_module

from ml_collections import ConfigDict


def config_named(group: str, name: str) -> ConfigDict:
    """Of `configs/<group>`: "heaven_hell", or a row of a file as "robot:block_pulling"."""
    module, _, variant = name.partition(":")
    return import_module(f"configs.{group}.{module}").get_config(*filter(None, [variant]))
