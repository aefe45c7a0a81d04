"""Pendulum, or by --config_env.id another env of classic control or MuJoCo, with its velocities hidden."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "Pendulum-v1"
    config.module = ""  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 0  # steps; 0: that of the id
    config.state_fn = (
        "observation"  # the full observation; or "module:function", function(env) -> array; "": get_state()
    )
    config.hidden = "velocity"  # what is taken away of the observation: "velocity", or indices such as "1,3"
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 20, "interval": 4000})  # greedy episodes, every so many env steps
    config.augment = ""  # "se2" turns images and actions alike, "e2" mirrors half of the copies; "" for none
    config.n_aug = 0  # augmented copies of an episode
    # the domain's settings of a family, below the command line; measured on Pendulum
    config.rl = ConfigDict(
        {
            "dqn": {},
            "sac": {
                "discount": 0.95,
                "actor_lr": 1e-3,
                "critic_lr": 1e-3,
                "tau": 0.01,
                "batch_size": 16,
            },
        }
    )
    return config.lock()
