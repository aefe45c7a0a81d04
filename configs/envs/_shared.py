"""The fields of a domain, once: what each says, and what it is where a domain does not say otherwise."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict


def domain(
    id: str,  # noqa: A002 the word of gymnasium
    *,
    horizon: int,
    interval: int,
    episodes: int = 100,
    kwargs: Mapping[str, Any] | None = None,
    rl: Mapping[str, Any] | None = None,
    **other: Any,
) -> ConfigDict:
    """The settings of a domain, unlocked; `other` are those of the fields below that it has otherwise."""
    config = ConfigDict()
    config.id = id
    config.module = other.pop("module", "envs")  # imported first, so that the id is registered; "" for none
    config.kwargs = ConfigDict(kwargs or {})  # for the env's constructor
    config.horizon = horizon  # steps; 0: that of the id
    # "module:function", function(env) -> array; "": get_state(); "observation": the full observation
    config.state_fn = other.pop("state_fn", "")
    # what is taken away of the observation: indices such as (1, 3), or "velocity"
    config.hidden = other.pop("hidden", ())
    config.state_low = ()  # bounds of the state where the env does not say, in its own units; () for none
    config.state_high = ()
    # where recorded data of others have the state: "infos/…", or a key of the observation; "" for what is said above
    config.data = ConfigDict({"state": ""})
    # greedy episodes, and env steps from one evaluation to the next (updates where no env is stepped)
    config.eval = ConfigDict({"episodes": episodes, "interval": interval})
    # "se2" turns images and actions alike, "e2" mirrors half of the copies besides; "d4": by the symmetries of a square
    config.augment = other.pop("augment", "")
    config.n_aug = other.pop("n_aug", 0)  # augmented copies of an episode
    # settings of a family, and of "family:row", below the command line
    config.rl = ConfigDict({"dqn": {}} if rl is None else rl)
    config.update(other)
    return config
