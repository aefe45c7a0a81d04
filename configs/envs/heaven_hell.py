"""HeavenHell on the 5x7 grid: ask the priest, then go to heaven."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "HeavenHell-v0"
    config.module = "envs"  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 50  # steps
    config.state_fn = ""  # "module:function", function(env) -> array; "": get_state()
    config.hidden = ()  # indices of the observation that are taken away
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 100, "interval": 2000})  # greedy episodes, every so many env steps
    config.augment = ""  # "se2" turns images and actions alike, "e2" mirrors half of the copies; "" for none
    config.n_aug = 0  # augmented copies of an episode
    # the domain's settings of a family, below the command line
    config.rl = ConfigDict({"dqn": {"discount": 0.93}})
    return config.lock()
