"""Memory in four rooms: find the beacon, then the exit of its colour. --config_env=…/four_rooms.py:SIZE."""

from ml_collections import ConfigDict

from configs.envs._shared import domain

VARIANTS = ("7x7", "9x9")
PALETTE = ("red", "green", "blue", "yellow")  # in 2021 ("blue", "yellow") was published as well


def get_config(size: str = "7x7") -> ConfigDict:
    kwargs = {"palette": PALETTE}
    return domain(f"MemoryFourRooms-{size}-v0", horizon=100, interval=20_000, kwargs=kwargs).lock()
