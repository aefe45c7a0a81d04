"""Partially observable environments. Importing this package registers its ids with gymnasium."""

from typing import Any

import gymnasium as gym

GRIDS: dict[str, tuple[str, dict[str, Any]]] = {
    "HeavenHell-v0": ("envs.heaven_hell:HeavenHell", {"rows": 5, "cols": 7}),
    "HeavenHell-6x9-v0": ("envs.heaven_hell:HeavenHell", {"rows": 6, "cols": 9}),
    "CarFlag-2D-v0": ("envs.car_flag:CarFlag2D", {}),
    "Cleaner-v0": ("envs.cleaner:Cleaner", {}),
    "Sphinx-v0": ("envs.sphinx:Sphinx", {}),
    **{f"MemoryFourRooms-{n}x{n}-v0": ("envs.four_rooms:FourRooms", {"size": n}) for n in (7, 9)},
}
CONTINUOUS: dict[str, tuple[str, dict[str, Any]]] = {
    "CarFlag-1D-v0": ("envs.car_flag_continuous:CarFlag1D", {}),
    "CarFlag-7-v0": ("envs.car_flag_continuous:CarFlag7", {}),
    "MountainHike-v0": ("envs.mountain_hike:MountainHike", {}),
    "VaryingMountainHike-v0": ("envs.mountain_hike:MountainHike", {"varying": True}),
    "Irrelevant-v0": ("envs.irrelevant:Irrelevant", {}),
    "CarFlag-2D-Continuous-v0": ("envs.car_flag_continuous:CarFlag2DContinuous", {}),
}
FINITE: dict[str, tuple[str, dict[str, Any]]] = {
    "PomdpFile-v0": ("envs.finite_rules:PomdpFile", {}),
    **{f"HeavenHell-{n}-v0": ("envs.heaven_hell_n:HeavenHellN", {"n": n}) for n in (1, 2, 3, 4)},
    **{f"Shopping-{n}-v0": ("envs.shopping:Shopping", {"n": n}) for n in (5, 6)},
    "TMaze-v0": ("envs.t_maze:TMaze", {}),
}
ROBOT: dict[str, str] = {
    "BlockPulling-v0": "envs.robot.block_pulling:BlockPulling",
    "BlockPushing-v0": "envs.robot.block_pushing:BlockPushing",
    "DrawerOpening-v0": "envs.robot.drawer_opening:DrawerOpening",
}
HORIZONS = dict.fromkeys([*GRIDS, *CONTINUOUS], 50) | dict.fromkeys(FINITE, 100)  # steps
HORIZONS |= {
    "CarFlag-1D-v0": 160,
    "CarFlag-7-v0": 160,
    "Cleaner-v0": 200,
    "MemoryFourRooms-7x7-v0": 100,
    "MemoryFourRooms-9x9-v0": 100,
    "MountainHike-v0": 80,
    "VaryingMountainHike-v0": 160,
    "Irrelevant-v0": 160,
    "TMaze-v0": 60,
}

for _id, (_entry_point, _kwargs) in (GRIDS | CONTINUOUS | FINITE).items():
    if _id not in gym.registry:
        gym.register(
            id=_id,
            entry_point=f"{_entry_point}Env",
            vector_entry_point=f"{_entry_point}VectorEnv",
            max_episode_steps=HORIZONS[_id],
            kwargs=_kwargs,
        )
for _id, _entry_point in ROBOT.items():
    if _id not in gym.registry:
        gym.register(id=_id, entry_point=_entry_point, max_episode_steps=50)
