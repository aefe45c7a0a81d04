"""Pendulum, or by --config_env.id another env of classic control or MuJoCo, with its velocities hidden."""

from typing import Any

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    sac = {"discount": 0.95, "actor_lr": 1e-3, "critic_lr": 1e-3, "tau": 0.01, "batch_size": 16}  # measured on Pendulum
    shown: dict[str, Any] = {"module": "", "state_fn": "observation", "hidden": "velocity"}
    return domain("Pendulum-v1", horizon=0, interval=4000, episodes=20, rl={"dqn": {}, "sac": sac}, **shown).lock()
