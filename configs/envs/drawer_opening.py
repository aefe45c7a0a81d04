"""Drawer-Opening: of two drawers that look alike open the one that is not locked."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "DrawerOpening-v0"
    config.module = "envs"  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 50  # steps
    config.state_fn = ""  # "module:function", function(env) -> array; "": get_state()
    config.hidden = ()  # indices of the observation that are taken away
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 50, "interval": 4000})  # greedy episodes, every so many env steps
    config.augment = "se2"  # "se2" rotates images and actions alike; "" for none
    config.n_aug = 4  # augmented copies of an episode
    config.rl = ConfigDict({"sac": {}})  # the domain's settings of a family, below the command line
    return config.lock()
