"""Car-Flag on a line, by forces: read which flag is the right one on the way, and turn if need be."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "CarFlag-1D-v0"
    config.module = "envs"  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 160  # steps
    config.state_fn = ""  # "module:function", function(env) -> array; "": get_state()
    config.hidden = ()  # indices of the observation that are taken away
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 100, "interval": 5000})  # greedy episodes, every so many env steps
    config.augment = ""  # "se2" turns images and actions alike, "e2" mirrors half of the copies; "" for none
    config.n_aug = 0  # augmented copies of an episode
    config.rl = ConfigDict({"dqn": {}})  # the domain's settings of a family, below the command line
    return config.lock()
