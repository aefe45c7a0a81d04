"""CartPole of the gymnasium package with both velocities hidden, as an example of a third party's env."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    state_fn, hidden = "envs.wrappers:state_attribute", (1, 3)  # both velocities are taken away
    return domain("CartPole-v1", horizon=200, interval=4000, module="", state_fn=state_fn, hidden=hidden).lock()
