"""Sphinx on a 6x6 field: pay for the answer, or guess among three corners."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    dqn = {
        "discount": 0.95,
        "cut_traces": False,
        "batch_size": 32,
        "updates_per_step": 0.05,
        # z_state is the goal alone, which stays: common pays for it in full, best not for one far from the mean
        "intrinsic": {"information_gain": {"bonus_target": "common"}},
    }
    return domain("Sphinx-v0", horizon=50, interval=2500, rl={"dqn": dqn}).lock()
