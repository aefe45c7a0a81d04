"""Car-Flag on a plane with a continuous action: find the flag by way of the middle."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.id = "CarFlag-2D-Continuous-v0"
    config.module = "envs"  # imported first, so that the id is registered
    config.kwargs = ConfigDict()  # for the env's constructor
    config.horizon = 50  # steps
    config.state_fn = ""  # "module:function", function(env) -> array; "": get_state()
    config.hidden = ()  # indices of the observation that are taken away
    config.state_low = ()  # bounds of the state where the env does not say; () for none
    config.state_high = ()
    config.eval = ConfigDict({"episodes": 100, "interval": 5000})  # greedy episodes, every so many env steps
    config.augment = ""  # "se2" turns images and actions alike, "e2" mirrors half of the copies; "" for none
    config.n_aug = 0  # augmented copies of an episode
    # the domain's settings of a family, below the command line
    config.rl = ConfigDict(
        {
            "dqn": {},
            "sac": {
                "discount": 0.95,
                "return_lambda": 0.9,
                "actor_lr": 1e-3,
                "critic_lr": 1e-3,
                "tau": 0.01,
                "temperature": {"initial": 0.01},  # by 0.1 wandering, for its entropy, is worth more than the flag
                "updates_per_step": 0.1,
                "intrinsic": {"anneal_steps": 50_000},
            },
        }
    )
    return config.lock()
