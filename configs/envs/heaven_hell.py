"""HeavenHell on the 5x7 grid: ask the priest, then go to heaven."""

from ml_collections import ConfigDict

from configs.envs._shared import domain


def get_config() -> ConfigDict:
    # those of mi suit embeddings that are not standardised
    dqn = {
        "discount": 0.93,
        "auxiliary": {"state_prediction": {"error": "cosine"}},
        "intrinsic": {"information_gain": {"weight": 10.0}},
    }
    return domain("HeavenHell-v0", horizon=50, interval=2000, rl={"dqn": dqn}).lock()
