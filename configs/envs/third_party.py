"""Environments of other people, by config alone: --config_env=…/third_party.py:ROW, or any by --config_env.id.

What each field does, and what was tried, is in docs/environments.md.
"""

from typing import Any

from ml_collections import ConfigDict

from configs.envs._shared import domain

OPEN = ("kwargs",)  # takes arguments of any constructor: --config_env.kwargs.NAME=VALUE


def minigrid_memory(size: str, side: int) -> dict[str, Any]:
    """Remember an object, look for its like at the end of a corridor; sees 7x7 cells in front."""
    return {
        "id": f"MiniGrid-MemoryS{size}-v0",
        "module": "minigrid",
        "horizon": 5 * side**2,  # MiniGrid's own
        "obs_keys": "image,direction",
        "state_fn": "envs.states:minigrid",
    }


VARIANTS: dict[str, dict[str, Any]] = {
    # any env that tells its state, or with the fields below made to
    "any": {"id": "CartPole-v1", "state_fn": "observation"},
    "minigrid_memory": minigrid_memory("7", 7),
    # the greater ones; in the random ones the corridor is of any length
    "minigrid_memory_9": minigrid_memory("9", 9),
    "minigrid_memory_11": minigrid_memory("11", 11),
    "minigrid_memory_13": minigrid_memory("13", 13),
    "minigrid_memory_13_random": minigrid_memory("13Random", 13),
    "minigrid_memory_17_random": minigrid_memory("17Random", 17),
    # memory tasks that tell their own state; --config_env.id is another of them
    "popgym": {"id": "popgym-RepeatPreviousEasy-v0", "module": "popgym", "horizon": 210},
    # reach a goal without being told one's own velocities
    "fetch_reach": {
        "id": "FetchReach-v4",
        "module": "gymnasium_robotics",
        "obs_keys": "achieved_goal,desired_goal",
        "state_keys": "observation,achieved_goal,desired_goal",
        "eval.episodes": 20,
    },
    # one frame at a time: where the ball flies to is hidden
    "pong": {
        "id": "ALE/Pong-v5",
        "module": "ale_py",
        "horizon": 2000,
        "state_fn": "envs.states:atari_ram",
        "obs_image": "hwc",
        "resize": (84, 84),
        "gray": True,
        "eval.episodes": 4,
        "eval.interval": 20_000,
        "rl": {"dqn": {"replay_steps": 50_000}},
        # 84 -> 20 -> 9 -> 7
        "seq": {"image": {"cnn": {"channels": (16, 32, 32), "kernels": (8, 4, 3), "strides": (4, 2, 1)}}},
    },
}


def get_config(row: str = "any") -> ConfigDict:
    """All fields that a domain may have, those of `domain` among them, and a row's values."""
    own = dict(VARIANTS[row])
    config = domain("", horizon=0, interval=5000, module="", hidden="", rl=own.pop("rl", None))
    config.vector_entry = ""  # "module:function", function(num_envs, **kwargs) -> a vector env, in place of the id
    config.one_instance = False  # all take turns on one instance, where a simulator allows no more
    config.wrappers = ""  # "module:Class,…", the first innermost, each made of the env alone
    config.obs_keys = ""  # of a dict observation: what the policy sees, such as "policy"; "": all of it
    config.state_keys = ""  # of a dict observation: what is the state, such as "critic"
    config.obs_image = ""  # how the axes of an image lie: "hwc", "chw"; "": as the env says, or no image
    config.resize = ()  # (height, width) that images are brought to; () for as they are
    config.gray = False  # colours become grey
    config.action_low = ""  # bounds of continuous actions where the env has none, such as "-1"; "" for the env's
    config.action_high = ""
    config.success = "last"  # an episode's success is that of its last step; any: of any of them
    config.seq = ConfigDict(own.pop("seq", {}))  # the domain's settings of every memory, below the command line
    config.update_from_flattened_dict(own)
    return config.lock()
