"""Car-Flag on a plane with a continuous action: find the flag by way of the middle."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    sac = {
        "discount": 0.95,
        "return_lambda": 0.9,
        "actor_lr": 1e-3,
        "critic_lr": 1e-3,
        "tau": 0.01,
        "temperature": {"initial": 0.01},  # by 0.1 wandering, for its entropy, is worth more than the flag
        "updates_per_step": 0.1,
    }
    return domain("CarFlag-2D-Continuous-v0", horizon=50, interval=2000, rl={"dqn": {}, "sac": sac}).lock()
