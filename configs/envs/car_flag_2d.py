"""Car-Flag on an 11x11 field: find the flag by way of the middle."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    dqn = {
        "discount": 0.95,
        "cut_traces": False,
        "exploration": {"end": 0.05},
        "lr": 1e-3,
        # rate and updates by probes of one run each (docs/learning.md)
        "updates_per_step": 0.02,
    }
    return domain("CarFlag-2D-v0", horizon=50, interval=5000, rl={"dqn": dqn}).lock()
