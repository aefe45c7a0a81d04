"""CartPole of the gymnasium package with both velocities hidden, as an example of a third party's env."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "CartPole-v1"
    config.module = ""  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 200  # steps
    config.state_fn = "envs.wrappers:state_attribute"  # "module:function", function(env) -> array; "": get_state()
    config.hidden = (1, 3)  # indices of the observation that are taken away: both velocities
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 100, "interval": 4000})  # greedy episodes, every so many env steps
    config.augment = ""  # "se2" turns images and actions alike, "e2" mirrors half of the copies; "" for none
    config.n_aug = 0  # augmented copies of an episode
    config.rl = ConfigDict({"dqn": {}})  # the domain's settings of a family, below the command line
    return config.lock()
