"""Car-Flag on an 11x11 field: find the flag by way of the middle."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    # a bonus that stays pays for hovering near the flag
    dqn = {
        "discount": 0.95,
        "cut_traces": False,
        "exploration": {"end": 0.05, "steps": 80_000},
        "batch_size": 32,
        "updates_per_step": 0.04,
        "intrinsic": {"information_gain": {"weight": 0.5}, "anneal_steps": 150_000},
    }
    return domain("CarFlag-2D-v0", horizon=50, interval=10_000, rl={"dqn": dqn}).lock()
